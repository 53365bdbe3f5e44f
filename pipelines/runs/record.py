"""Read the records of runs in the workspace, runs/RUN/STAGE.json, which other machines may have written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

UNREADABLE = "unreadable"  # state of a record that is truncated or invalid


@dataclass(frozen=True)
class StageRecord:
    """Result of one stage."""

    outcome: str = ""
    written: int = 0


@dataclass(frozen=True)
class TaskRecord:
    """How a run, or one task of it, ended.

    `has_lost_spark`: the Spark driver ended first, so only the backend knows the reason.
    """

    state: str
    ended: str = ""
    stages: tuple[StageRecord, ...] = field(default=())
    error: str = ""
    has_lost_spark: bool = False


def read_record(name: str, content: bytes) -> TaskRecord:
    """Return the record in a file; one that cannot be read has the state UNREADABLE and the reason as its error."""
    return parse_json(TaskRecord, content, lambda reason: TaskRecord(UNREADABLE, error=f"The record {name} {reason}."))


def parse_json(model: Any, content: bytes, otherwise: Callable[[str], Any]) -> Any:
    """Validate a JSON object as `model`; if it is invalid, return `otherwise` of a clause with the reason."""
    try:
        return _adapter(model).validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        field_path = ".".join(map(str, first["loc"]))
        return otherwise(f"cannot be read ({f'{field_path}: ' if field_path else ''}{first['msg'].splitlines()[0]})")


@cache
def _adapter(model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(model)


LOG_NAME = re.compile(r"([^/.]+)(?:\.(\d+))?\.log")


def log_file_name(task: str, number: int) -> str:
    """Return the name of a task's log file, counting from 1: run.log, run.2.log, run.3.log."""
    return f"{task}.log" if number == 1 else f"{task}.{number}.log"


def parse_log_file_name(name: str) -> tuple[str, int] | None:
    """Return the task and the number of a log file; None if the name is another file's."""
    match = LOG_NAME.fullmatch(name)
    return (match[1], int(match[2] or 1)) if match else None


RUNS = "runs"
UNKNOWN_SECONDS = 7 * 86_400.0  # seconds for which a run without a record may still be running
NAME = re.compile(r"[a-z]+-\d{8}-\d{4,6}-[0-9a-f]{4}")  # ids of `new_run_id`; other folders belong to the user


def is_expired(run: str, files: Iterable[tuple[str, float]], now: float, keep_seconds: float) -> bool:
    """Return whether the record of a run may be deleted: it has ended, and is unchanged for `keep_seconds`.

    `files` are the names below its folder with their modification times, in seconds since the epoch. A stage with a
    log but no result may be running, or was killed: it counts as ended after a week without output.
    """
    if not NAME.fullmatch(run):
        return False
    changed = dict(files)
    age = now - max(changed.values(), default=now)
    logs = {log[0] for log in map(parse_log_file_name, changed) if log}
    records = {name.removesuffix(".json") for name in changed if name.endswith(".json") and "/" not in name}
    is_over = bool(records) and logs <= records
    return age >= (keep_seconds if is_over else max(keep_seconds, UNKNOWN_SECONDS))

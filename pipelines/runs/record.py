"""The record that a run leaves in its workspace, RUN/STAGE.json, as it is read back: others may have written it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

UNREADABLE = "unreadable"  # the state of a record that is cut, or no record


@dataclass(frozen=True)
class StageRecord:
    """Hold what a stage gave."""

    outcome: str = ""
    written: int = 0


@dataclass(frozen=True)
class TaskRecord:
    """Hold how a run, or one task of it, ended.

    `is_bereft`: Spark had ended under it, of which only the place knows.
    """

    state: str
    ended: str = ""
    stages: tuple[StageRecord, ...] = field(default=())
    error: str = ""
    has_lost_spark: bool = False


def read_record(name: str, content: bytes) -> TaskRecord:
    """Return the record in a file; one that cannot be read has the state UNREADABLE, and an error that says why."""
    return parse_json(TaskRecord, content, lambda reason: TaskRecord(UNREADABLE, error=f"The record {name} {reason}."))


def parse_json(model: Any, content: bytes, otherwise: Callable[[str], Any]) -> Any:
    """Return the JSON object as a model, or `otherwise` of a clause that says why it is none."""
    try:
        return _adapter(model).validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return otherwise(f"cannot be read ({f'{where}: ' if where else ''}{first['msg'].splitlines()[0]})")


@cache
def _adapter(model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(model)


RUNS = "runs"
UNKNOWN_SECONDS = 7 * 86_400.0  # for which a run that has written no record may be at work still
NAME = re.compile(r"[a-z]+-\d{8}-\d{4,6}-[0-9a-f]{4}")  # of `new_id`: a folder of another name is somebody's own


def is_expired(run: str, files: Iterable[tuple[str, float]], now: float, kept: float) -> bool:
    """Return whether the record of a run may go: it has ended, and nothing in it has changed for `kept` seconds.

    `files`: the names below its folder and when each was changed, in seconds since the epoch. A stage of which there
    is a log, but no result, may be running, or was killed: it counts as ended after a week without a word.
    """
    if not NAME.fullmatch(run):
        return False
    changed = dict(files)
    age = now - max(changed.values(), default=now)
    logs = {name.removesuffix(".log") for name in changed if name.endswith(".log") and "/" not in name}
    records = {name.removesuffix(".json") for name in changed if name.endswith(".json") and "/" not in name}
    is_over = bool(records) and logs <= records
    return age >= (kept if is_over else max(kept, UNKNOWN_SECONDS))

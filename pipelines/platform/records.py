"""The record that a run leaves in its workspace, RUN/STAGE.json, as it is read back: others may have written it."""

from __future__ import annotations

from collections.abc import Callable
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
class Record:
    """Hold how a run, or one task of it, ended.

    `is_bereft`: Spark had ended under it, of which only the place knows.
    """

    state: str
    ended: str = ""
    stages: tuple[StageRecord, ...] = field(default=())
    error: str = ""
    has_lost_spark: bool = False


def read_record(name: str, content: bytes) -> Record:
    """Return the record in a file; one that cannot be read has the state UNREADABLE, and an error that says why."""
    return parse(Record, content, lambda reason: Record(UNREADABLE, error=f"The record {name} {reason}."))


def parse(model: Any, content: bytes, otherwise: Callable[[str], Any]) -> Any:
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

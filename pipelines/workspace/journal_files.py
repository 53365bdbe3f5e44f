"""The journals of the review page: their folder, their lines, and how far each is merged. Imports no Spark.

The page writes each decision to WORKSPACE/review/journal/SESSION.jsonl, one JSON object per line with the fields of
`schemas.Decision`, and flushes it to the disk before it acknowledges the key press. SESSION.merged, beside it, has the
number of bytes whose decisions are in the table labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipelines.atomic_write import write_atomic
from pipelines.schemas import Decision
from pipelines.workspace.decisions import find_fault
from pipelines.workspace.lock import can_lock

HOME_FOLDER = "~/.irbis/review"  # no cache, which anyone may empty: a decision may be there and nowhere else
SUFFIX, PROGRESS_SUFFIX = ".jsonl", ".merged"


@dataclass(frozen=True)
class JournalLine:
    """A line of a journal: bytes from `start` to `end`, and its decision or its fault; neither if it is empty or cut.

    The last line is not whole if it has no line break yet.
    """

    start: int
    end: int
    is_whole: bool
    decision: Decision | None = None
    fault: str = ""


def review_folder(workspace: str) -> Path:
    """Return the folder of a workspace's review files on this machine. `workspace` is `Tables.workspace`.

    It is in the workspace if that is a local folder. Cloud stores and Databricks volumes cannot append to a file: their
    journals are in the user's home folder, and only this machine can merge them.
    """
    if can_lock(workspace):
        return Path(workspace, "review")
    return Path(HOME_FOLDER).expanduser() / sha256(workspace.encode()).hexdigest()[:16]


def journal_folder(workspace: str) -> Path:
    """Return the folder of a workspace's journals on this machine."""
    return review_folder(workspace) / "journal"


def find_journals(workspace: str) -> list[Path]:
    """Return the journals of a workspace on this machine, by name."""
    return sorted(journal_folder(workspace).glob(f"*{SUFFIX}"))


def format_line(decision: Decision) -> bytes:
    """Return the line of a journal for a decision, with its line break. Write it at once, then flush it to the disk."""
    return _adapter(dict).dump_json(decision._asdict()) + b"\n"


def parse_line(text: bytes) -> tuple[Decision | None, str]:
    """Return the decision of a line, or None and why the table labels cannot take it."""
    try:
        decision: Decision = _adapter(Decision).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        return None, f"{field}: {first['msg']}" if field else str(first["msg"])
    fault = find_fault(decision)
    return (None, fault) if fault else (decision, "")


def read_lines(path: Path, start: int = 0) -> Iterator[JournalLine]:
    """Yield the lines of a journal from a byte on; none if `irbis clean` has removed it."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        file.seek(start)
        for text in file:
            end, is_whole = start + len(text), text.endswith(b"\n")
            decision, fault = parse_line(text) if text.strip() else (None, "")
            # A last line that was cut is no fault: it is being written, or it was never acknowledged.
            yield JournalLine(start, end, is_whole, decision, fault if is_whole else "")
            start = end


def read_new_lines(path: Path) -> Iterator[JournalLine]:
    """Yield the lines after the merged part of a journal."""
    return read_lines(path, _merged_bytes(path))


def save_progress(path: Path, lines: Sequence[JournalLine]) -> None:
    """Save how far a journal is merged: up to the first line that cannot be read or is not whole."""
    stop = next((i for i, line in enumerate(lines) if line.fault or not line.is_whole), len(lines))
    if stop:
        write_atomic(path.with_suffix(PROGRESS_SUFFIX), str(lines[stop - 1].end).encode())


def _merged_bytes(path: Path) -> int:
    """Return the length of the merged part of a journal; 0 if it is unknown, or if no line ends there.

    A server takes back lines that it cannot write completely, and may write others in their place.
    """
    try:
        merged = int(path.with_suffix(PROGRESS_SUFFIX).read_bytes())
        with path.open("rb") as file:
            file.seek(max(merged - 1, 0))
            return merged if file.read(1) == b"\n" else 0
    except (FileNotFoundError, ValueError):
        return 0


@cache
def _adapter(kind: type) -> TypeAdapter:  # type: ignore[type-arg]
    return TypeAdapter(kind)

"""Journals of the review page: files of decisions that are not yet in the table labels.

The page writes each decision to WORKSPACE/review/journal/SESSION.jsonl, one JSON object per line with the fields of
`schemas.Decision`, and flushes it to the disk before it acknowledges the key press. `merge_journals` appends the
decisions to the table. It never changes or removes a journal: SESSION.merged, beside it, has the number of bytes whose
decisions are in the table. It is written after the commit. If the process is killed in between, the same lines are read
again, and the table takes no decision twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipelines.atomic_write import write_atomic
from pipelines.formatting import pluralize
from pipelines.schemas import Decision
from pipelines.workspace.labels import append_decisions, find_fault
from pipelines.workspace.lock import can_lock
from pipelines.workspace.tables import Tables

HOME_FOLDER = "~/.irbis/review"  # no cache, which anyone may empty: a decision may be there and nowhere else
PROGRESS_SUFFIX = ".merged"
MAX_PER_COMMIT = 50_000  # decisions


def journal_folder(workspace: str) -> Path:
    """Return the folder of a workspace's journals on this machine. `workspace` is `Tables.workspace`.

    It is in the workspace if that is a local folder. Cloud stores and Databricks volumes cannot append to a file: their
    journals are in the user's home folder, and only this machine can merge them.
    """
    if can_lock(workspace):
        return Path(workspace, "review", "journal")
    return Path(HOME_FOLDER).expanduser() / sha256(workspace.encode()).hexdigest()[:16] / "journal"


def format_line(decision: Decision) -> bytes:
    """Return the line of a journal for a decision, with its line break. Write it at once, then flush it to the disk."""
    return _adapter(dict).dump_json(decision._asdict()) + b"\n"


def merge_journals(tables: Tables) -> int:
    """Append the decisions of the journals that are not in the table labels; return how many were appended.

    Without new lines, only the lengths of the journals are read. Servers may append meanwhile, and others may merge at
    the same time. Lines that cannot be read are left for `journal_notes`.
    """
    added = 0
    for path in find_journals(tables.workspace):
        lines = list(_read_new_lines(path))
        decisions = [line.decision for line in lines if line.decision]
        for start in range(0, len(decisions), MAX_PER_COMMIT):
            added += append_decisions(tables, decisions[start : start + MAX_PER_COMMIT])
        _save_progress(path, lines)
    return added


def pending_decisions(workspace: str) -> list[Decision]:
    """Return the decisions that are only in journals, as far as known without Spark, by journal and line.

    If a process was killed right after a commit, some are in the table too: compare `decision_id`.
    """
    lines = [line for path in find_journals(workspace) for line in _read_new_lines(path)]
    return [line.decision for line in lines if line.decision]


def journal_notes(workspace: str) -> list[str]:
    """Return a note on each journal with lines that cannot be read, until they are repaired."""
    notes = []
    for path in find_journals(workspace):
        if faulty := [line for line in _read_new_lines(path) if line.fault]:
            more = f" The same is true of {pluralize(len(faulty) - 1, 'more line')}." if len(faulty) > 1 else ""
            notes.append(
                f"{path}, line {_line_number(path, faulty[0]):,} is no decision that this version can read: "
                f"{faulty[0].fault}.{more} It has no effect until the line is repaired. All other lines count."
            )
    return notes


@dataclass(frozen=True)
class _Line:
    """A line of a journal: bytes from `start` to `end`, and its decision or its fault; neither if it is empty or cut.

    The last line is not whole if it has no line break yet.
    """

    start: int
    end: int
    is_whole: bool
    decision: Decision | None = None
    fault: str = ""


def find_journals(workspace: str) -> list[Path]:
    """Return the journals of a workspace on this machine, by name."""
    return sorted(journal_folder(workspace).glob("*.jsonl"))


def _read_new_lines(path: Path) -> Iterator[_Line]:
    """Yield the lines after the merged part of a journal."""
    start = _merged_bytes(path)
    if path.stat().st_size == start:
        return
    with path.open("rb") as file:
        file.seek(start)
        for text in file:
            end, is_whole = start + len(text), text.endswith(b"\n")
            decision, fault = _parse(text) if text.strip() else (None, "")
            # A last line that was cut is no fault: it is being written, or it was never acknowledged.
            yield _Line(start, end, is_whole, decision, fault if is_whole else "")
            start = end


def _merged_bytes(path: Path) -> int:
    """Return the length of the merged part of a journal; 0 if it is unknown, or if no line ends there.

    A server takes back lines that it cannot write completely, and may write others in their place.
    """
    try:
        merged = int(path.with_suffix(PROGRESS_SUFFIX).read_bytes())
    except (FileNotFoundError, ValueError):
        return 0
    with path.open("rb") as file:
        file.seek(max(merged - 1, 0))
        return merged if file.read(1) == b"\n" else 0


def _save_progress(path: Path, lines: Sequence[_Line]) -> None:
    """Save how far a journal is merged: up to the first line that cannot be read or is not whole."""
    stop = next((i for i, line in enumerate(lines) if line.fault or not line.is_whole), len(lines))
    if stop:
        write_atomic(path.with_suffix(PROGRESS_SUFFIX), str(lines[stop - 1].end).encode())


def _line_number(path: Path, line: _Line) -> int:
    with path.open("rb") as file:
        return file.read(line.start).count(b"\n") + 1


def _parse(text: bytes) -> tuple[Decision | None, str]:
    """Return the decision of a line, or None and what is wrong with it."""
    try:
        decision: Decision = _adapter(Decision).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        return None, f"{field}: {first['msg']}" if field else str(first["msg"])
    fault = find_fault(decision)
    return (None, fault) if fault else (decision, "")


@cache
def _adapter(kind: type) -> TypeAdapter:  # type: ignore[type-arg]
    return TypeAdapter(kind)

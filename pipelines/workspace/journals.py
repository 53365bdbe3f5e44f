"""Append the decisions in journals of the review page to the table labels.

`merge_journals` never changes or removes a journal: it writes its progress beside it, after the commit. If the process
is killed in between, the same lines are read again, and the table takes no decision twice.
"""

from __future__ import annotations

from pathlib import Path

from pipelines.formatting import pluralize
from pipelines.workspace.journal_files import JournalLine, find_journals, read_new_lines, save_progress
from pipelines.workspace.labels import append_decisions
from pipelines.workspace.tables import Tables

MAX_PER_COMMIT = 50_000  # decisions


def merge_journals(tables: Tables) -> int:
    """Append the decisions of the journals that are not in the table labels; return how many were appended.

    Servers may append meanwhile, and others may merge at the same time. Lines that cannot be read are left for
    `journal_notes`.
    """
    added = 0
    for path in find_journals(tables.workspace):
        lines = list(read_new_lines(path))
        decisions = [line.decision for line in lines if line.decision]
        for start in range(0, len(decisions), MAX_PER_COMMIT):
            added += append_decisions(tables, decisions[start : start + MAX_PER_COMMIT])
        save_progress(path, lines)
    return added


def journal_notes(workspace: str) -> list[str]:
    """Return a note on each journal with lines that cannot be read, until they are repaired."""
    notes = []
    for path in find_journals(workspace):
        if faulty := [line for line in read_new_lines(path) if line.fault]:
            more = f" The same is true of {pluralize(len(faulty) - 1, 'more line')}." if len(faulty) > 1 else ""
            notes.append(
                f"{path}, line {_line_number(path, faulty[0]):,} is no decision that this version can read: "
                f"{faulty[0].fault}.{more} It has no effect until the line is repaired. All other lines count."
            )
    return notes


def _line_number(path: Path, line: JournalLine) -> int:
    with path.open("rb") as file:
        return file.read(line.start).count(b"\n") + 1

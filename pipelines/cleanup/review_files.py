"""Find files of the review page that are no longer needed: journals that are in the table, and unused thumbnails.

A journal goes only if the table labels itself has every decision in it: its progress file says how far it was merged,
but the table may have been restored or replaced since. Journals that a running server has locked stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from pipelines.workspace.journal_files import HOME_FOLDER, PROGRESS_SUFFIX, find_journals, journal_folder, read_lines
from pipelines.workspace.lock import can_lock, try_lock
from pipelines.workspace.tables import Tables

THUMBNAIL = re.compile(r"[0-9a-f]{64}-(small|large)\.jpg")


def find_thumbnails(workspace: str) -> Iterable[Path]:
    """Yield the cached thumbnails of a local workspace, and of the workspaces whose cache is in the home folder."""
    folders = [*Path(HOME_FOLDER).expanduser().glob("*/cache")]
    folders += [Path(workspace, "review", "cache")] if can_lock(workspace) else []
    for folder in folders:
        yield from (path for path in sorted(folder.glob("*/*.jpg")) if THUMBNAIL.fullmatch(path.name))


def find_merged_journals(tables: Tables, before: float) -> list[Path]:
    """Return the journals last written before a time whose decisions are all in the table, with their progress files.

    Progress files without a journal are returned too.
    """
    decisions: dict[Path, set[str]] = {}
    for path in find_journals(tables.workspace):
        if path.stat().st_mtime < before and not _is_locked(path):
            lines = list(read_lines(path))
            if all(line.is_whole and not line.fault for line in lines):
                decisions[path] = {line.decision.decision_id for line in lines if line.decision}
    stored = _find_stored(tables, set().union(*decisions.values()))
    merged = [path for path, ids in decisions.items() if ids <= stored]
    progress = sorted(journal_folder(tables.workspace).glob(f"*{PROGRESS_SUFFIX}"))
    journals = {path.stem for path in find_journals(tables.workspace)} - {path.stem for path in merged}
    return [*merged, *(path for path in progress if path.stem not in journals)]


def _find_stored(tables: Tables, decision_ids: set[str]) -> set[str]:
    """Return those of the ids that the table labels has."""
    if not decision_ids:
        return set()
    ids = tables.spark.createDataFrame([(each,) for each in decision_ids], "decision_id string")
    found = tables.read("labels").select("decision_id").join(ids, "decision_id", "left_semi")
    return {row["decision_id"] for row in found.collect()}


def _is_locked(path: Path) -> bool:
    with path.open("rb+") as file:
        return not try_lock(file.fileno())

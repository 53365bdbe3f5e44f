"""Clean a workspace: remove data that is no longer needed, and report the bytes of each kind.

Steps without Spark come first, because Spark may not start on a full disk; then files that no snapshot of the tables
reads; then rows, whose files Delta rewrites before the old ones can be deleted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipelines.cleanup.leftovers import DAY, Leftover, find_leftovers
from pipelines.cleanup.review_files import find_merged_journals
from pipelines.config.settings import Settings
from pipelines.formatting import pluralize
from pipelines.runs.record import RUNS, is_expired
from pipelines.workspace.deletions import (
    clear_content,
    count_deletable,
    delete_removed,
    find_deletable,
    find_non_images,
    vacuum,
)
from pipelines.workspace.files import list_files, remove_folder
from pipelines.workspace.hold import is_exclusive, pin_table
from pipelines.workspace.location import workspace_uri
from pipelines.workspace.orphans import UNLOCKED_TABLES, find_superseded, remove_empty_table
from pipelines.workspace.tables import SCHEMAS, Tables

LATER_NOTE = (
    "deleted and uncommitted data leaves the storage when `irbis clean` runs a week later, because others may use the "
    "tables"
)


@dataclass
class WorkspaceCleaner:
    """A cleanup of one workspace, or a count of what it would free."""

    settings: Settings
    dry_run: bool = False
    freed: int = 0

    def run(self, open_session: Callable[[], SparkSession]) -> Iterator[str]:
        """Yield a sentence for each kind of removed data, as it is removed. Spark starts only if there are tables."""
        for leftover in find_leftovers(self.settings):
            yield from self._remove(leftover)
        if self._has_tables():
            tables = Tables.of(open_session(), self.settings)
            if "://" in tables.workspace:
                yield from self._remove_old_runs(tables)
            yield from self._remove_journals(tables)
            yield from self._vacuum(tables)
            yield from self._delete_rows(tables)
        yield f"{self.freed:,} bytes {'would be ' if self.dry_run else ''}freed"

    def _has_tables(self) -> bool:
        folder = workspace_uri(self.settings)
        return bool(self.settings.tables.schema_ or "://" in folder or Path(folder, "tables").is_dir())

    def _remove(self, leftover: Leftover) -> Iterator[str]:
        sizes = leftover.sizes()
        removed = dict[Path, int]()
        for path, size in sizes.items():
            try:
                if not self.dry_run:
                    leftover.remove(path)
            except OSError as error:
                yield f"note: {path} is not removed: {error.strerror}"
            else:
                removed[path] = size
        for table in {above for path in removed for above in list(path.parents)[:2]} if not self.dry_run else ():
            remove_empty_table(table)
        if removed:
            yield self._report(len(removed), leftover.singular, leftover.plural, sum(removed.values()))

    def _report(self, number: int, singular: str, plural: str, size: int) -> str:
        self.freed += size
        return f"{pluralize(number, singular, plural)}, {size:,} bytes {'would be ' if self.dry_run else ''}removed"

    def _remove_old_runs(self, tables: Tables) -> Iterator[str]:
        """Remove old run folders from a cloud workspace."""
        runs: dict[str, list[tuple[str, int, float]]] = {}
        for name, size, changed in list_files(tables, RUNS):
            folder, slash, rest = name.partition("/")
            if slash:
                runs.setdefault(folder, []).append((rest, size, changed))
        now, kept = time.time(), self.settings.clean.keep_runs_days * DAY
        due = [run for run, files in runs.items() if is_expired(run, [(name, at) for name, _, at in files], now, kept)]
        for run in due if not self.dry_run else ():
            remove_folder(tables, f"{RUNS}/{run}")
        if due:
            yield self._report(
                len(due), "run folder", "run folders", sum(size for run in due for _, size, _ in runs[run])
            )

    def _remove_journals(self, tables: Tables) -> Iterator[str]:
        files = find_merged_journals(tables, time.time() - DAY)
        yield from self._remove(Leftover("file of merged journals", "files of merged journals", tuple(files)))

    def _vacuum(self, tables: Tables) -> Iterator[str]:
        """Delete files that no snapshot reads: at once in a local workspace, elsewhere after a week."""
        names = [name for name in SCHEMAS if tables.exists(name)]
        if not is_exclusive(self.settings):
            yield from self._vacuum_shared(tables, names)
            return
        sizes: dict[Path, int] = {}
        for name in names:
            if name not in UNLOCKED_TABLES and (files := find_superseded(tables, name)):
                sizes |= {file: file.stat().st_size for file in files}
                if not self.dry_run:
                    vacuum(tables, self.settings, name)
        removed = {file: size for file, size in sizes.items() if self.dry_run or not file.exists()}
        if removed:
            yield self._report(
                len(removed), "file that no table reads", "files that no table reads", sum(removed.values())
            )

    def _vacuum_shared(self, tables: Tables, names: list[str]) -> Iterator[str]:
        if self.dry_run:
            yield "files that no table has read for a week would be removed; their size is not known beforehand"
            return
        is_seen = not tables.schema and "://" in tables.workspace
        sizes = {name: size for name, size, _ in list_files(tables, "tables")} if is_seen else {}
        for name in names:
            vacuum(tables, self.settings, name)
        remaining = {name for name, _, _ in list_files(tables, "tables")} if is_seen else set()
        removed = [size for name, size in sizes.items() if name not in remaining]
        if removed:
            yield self._report(len(removed), "file that no table reads", "files that no table reads", sum(removed))
        yield LATER_NOTE

    def _delete_rows(self, tables: Tables) -> Iterator[str]:
        """Delete removed images, regardless of ingest.keep_removed_days, and bytes of files that are not images."""
        verb = "would be deleted" if self.dry_run else "deleted"
        removed = count_deletable(find_deletable(tables)) if self.dry_run else delete_removed(tables, self.settings)
        self.freed += removed.bytes
        if removed.images:
            yield f"{removed} {verb}"
        pin_table(tables, self.settings, "images")
        rows = find_non_images(tables)
        number, size = rows.agg(F.count("*"), F.coalesce(F.sum("size"), F.lit(0))).first()
        if number:
            if not self.dry_run:
                clear_content(tables, self.settings, rows)
            self.freed += size
            files = pluralize(number, "file that is not an image", "files that are not images")
            yield f"{files}, {size:,} bytes {verb}"

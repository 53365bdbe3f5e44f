"""Clean: free the disk of what nobody needs any more, and say of each kind how many bytes that is.

What takes no Spark comes first, because Spark may not start on a full disk; then what no snapshot of the tables reads;
then rows, whose files Delta writes anew before the old ones can go.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipelines.cleanup.leftovers import DAY, UNLOCKED, Leftover, find_leftovers
from pipelines.config.settings import Settings
from pipelines.formatting import pluralize
from pipelines.runs.record import RUNS, is_expired
from pipelines.workspace.deletions import clear_foreign, count, deletable, delete_removed, foreign, vacuum
from pipelines.workspace.files import list_files, remove_folder
from pipelines.workspace.hold import is_exclusive, pin_table
from pipelines.workspace.orphans import find_superseded, remove_empty
from pipelines.workspace.tables import SCHEMAS, Tables, workspace_uri

LATER = (
    "what was deleted, or never committed, leaves the storage when `irbis clean` runs a week later, as others may "
    "use the tables"
)


@dataclass
class Clean:
    """Clean one workspace, or count what that would free."""

    settings: Settings
    dry_run: bool = False
    freed: int = 0

    def run(self, open_session: Callable[[], SparkSession]) -> Iterator[str]:
        """Yield a sentence for each kind of what is removed, as it is removed. Spark starts where there are tables."""
        for left in find_leftovers(self.settings):
            yield from self._remove(left)
        if self._has_tables():
            tables = Tables.of(open_session(), self.settings)
            if "://" in tables.workspace:
                yield from self._remove_old_runs(tables)
            yield from self._vacuum(tables)
            yield from self._delete_rows(tables)
        yield f"{self.freed:,} bytes {'would be ' if self.dry_run else ''}freed"

    def _has_tables(self) -> bool:
        folder = workspace_uri(self.settings)
        return bool(self.settings.tables.schema_ or "://" in folder or Path(folder, "tables").is_dir())

    def _remove(self, left: Leftover) -> Iterator[str]:
        sizes = left.sizes()
        removed = dict[Path, int]()
        for path, size in sizes.items():
            try:
                if not self.dry_run:
                    left.remove(path)
            except OSError as error:
                yield f"note: {path} stays: {error.strerror}"
            else:
                removed[path] = size
        for table in {above for path in removed for above in list(path.parents)[:2]} if not self.dry_run else ():
            remove_empty(table)
        if removed:
            yield self._told(len(removed), left.singular, left.plural, sum(removed.values()))

    def _told(self, number: int, one: str, several: str, size: int) -> str:
        self.freed += size
        return f"{pluralize(number, one, several)}, {size:,} bytes {'would be ' if self.dry_run else ''}removed"

    def _remove_old_runs(self, tables: Tables) -> Iterator[str]:
        """Remove old records from a workspace in the cloud."""
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
            yield self._told(
                len(due), "run folder", "run folders", sum(size for run in due for _, size, _ in runs[run])
            )

    def _vacuum(self, tables: Tables) -> Iterator[str]:
        """Delete the files that no snapshot reads: here at once, elsewhere those of more than a week ago."""
        names = [name for name in SCHEMAS if tables.exists(name)]
        if not is_exclusive(self.settings):
            yield from self._vacuum_elsewhere(tables, names)
            return
        sizes: dict[Path, int] = {}
        for name in names:
            if name != UNLOCKED and (files := find_superseded(tables, name)):
                sizes |= {file: file.stat().st_size for file in files}
                if not self.dry_run:
                    vacuum(tables, self.settings, name)
        gone = {file: size for file, size in sizes.items() if self.dry_run or not file.exists()}
        if gone:
            yield self._told(len(gone), "file that no table reads", "files that no table reads", sum(gone.values()))

    def _vacuum_elsewhere(self, tables: Tables, names: list[str]) -> Iterator[str]:
        if self.dry_run:
            yield "what no table has read for a week would be removed; how much that is nobody can tell beforehand"
            return
        is_seen = not tables.schema and "://" in tables.workspace
        sizes = {name: size for name, size, _ in list_files(tables, "tables")} if is_seen else {}
        for name in names:
            vacuum(tables, self.settings, name)
        left = {name for name, _, _ in list_files(tables, "tables")} if is_seen else set()
        gone = [size for name, size in sizes.items() if name not in left]
        if gone:
            yield self._told(len(gone), "file that no table reads", "files that no table reads", sum(gone))
        yield LATER

    def _delete_rows(self, tables: Tables) -> Iterator[str]:
        """Delete what is gone from its source, whatever ingest.keep_removed_days says, and bytes of no images."""
        verb = "would be deleted" if self.dry_run else "deleted"
        removed = count(deletable(tables)) if self.dry_run else delete_removed(tables, self.settings)
        self.freed += removed.bytes
        if removed.images:
            yield f"{removed} {verb}"
        pin_table(tables, self.settings, "images")
        rows = foreign(tables)
        number, size = rows.agg(F.count("*"), F.coalesce(F.sum("size"), F.lit(0))).first()
        if number:
            if not self.dry_run:
                clear_foreign(tables, self.settings, rows)
            self.freed += size
            yield f"{pluralize(number, 'file that is no image', 'files that are no images')}, {size:,} bytes {verb}"

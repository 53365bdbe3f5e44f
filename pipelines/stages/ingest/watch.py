"""Watch: poll a source and ingest new images, each exactly once however often the process is stopped."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from pyspark.sql import DataFrame, SparkSession

from pipelines.config.settings import Settings
from pipelines.errors import AccessError, PlatformError
from pipelines.sources.listing import Listing, list_images
from pipelines.sources.registry import Source, open_source
from pipelines.sources.skipped_files import SkippedFiles
from pipelines.stages.ingest.arrivals import enqueue, process_queue
from pipelines.stages.ingest.changes import diff_listing
from pipelines.stages.ingest.removals import Moves, mark_removed
from pipelines.stages.ingest.stage import apply_listing
from pipelines.stages.result import StageResult, Stopwatch
from pipelines.workspace.free_space import clean_up_on_failure
from pipelines.workspace.hold import hold_workspace, pin_table
from pipelines.workspace.tables import Tables

Sleep = Callable[[float], None]


def watch(spark: SparkSession, settings: Settings, sleep: Sleep = time.sleep) -> Iterator[StageResult]:
    """Yield a result for every poll that found something, without end.

    An error of the first poll is raised. Later the source may be unavailable, the disk full, or the workspace locked by
    another command: that becomes a note, and the next poll retries. The workspace is locked only during a poll.
    """
    watcher = Watcher(Tables.of(spark, settings), open_source(settings), settings)
    is_first = True
    while True:
        try:
            with hold_workspace(settings), clean_up_on_failure(watcher.tables):
                result = watcher.poll()
        except (AccessError, PlatformError) as error:
            if is_first:
                raise
            result = StageResult("ingest", notes=(f"{error} The next poll tries again.",))
        if result.read or result.notes:
            yield result
        is_first = False
        sleep(settings.ingest.poll_seconds)


@dataclass
class Watcher:
    """Poll one source. New files go to the table arrivals, from which a stream delivers them to ingest."""

    tables: Tables
    source: Source
    settings: Settings
    skipped_files: str | None = None  # the note of the last poll on skipped files

    def poll(self) -> StageResult:
        """Ingest all new files, after those that an interrupted poll has left in the queue."""
        clock, results = Stopwatch(), list[StageResult]()
        pin_table(self.tables, self.settings, "images")
        process_queue(self.tables, self.source.root, partial(self._ingest_batch, results, None))
        listing = list_images(self.tables, self.source, self.settings.sources)
        rules = self.settings.ingest
        changes = diff_listing(self.tables, listing.files, rules, self.settings.images, self.source.root)
        if changes.new_count:
            enqueue(self.tables, changes.new_files)
            process_queue(self.tables, self.source.root, partial(self._ingest_batch, results, changes.gone))
        if changes.gone is not None:
            removed, _ = mark_removed(self.tables, self.settings, listing, changes, Moves())
            results.append(StageResult("ingest", notes=tuple(removed)))
        failures = sum((Counter(result.failures) for result in results), Counter[str]())
        notes = tuple(dict.fromkeys(note for result in results for note in result.notes))
        before, self.skipped_files = self.skipped_files, listing.skipped_files.note(listing.count)
        if self.skipped_files and self.skipped_files != before:
            notes += (self.skipped_files,)
        read, written = sum(result.read for result in results), sum(result.written for result in results)
        return StageResult("ingest", read, written, failures, clock.seconds, notes)

    def _ingest_batch(self, results: list[StageResult], gone: DataFrame | None, names: DataFrame) -> None:
        """Ingest a batch of the stream. An interrupted batch is delivered again, and completed rows are skipped."""
        tables = replace(self.tables, spark=names.sparkSession)  # a stream has a session of its own
        listing = Listing(names, names.count(), SkippedFiles(), is_complete=False)
        results.append(apply_listing(tables, self.source, self.settings, listing, Stopwatch(), gone))

"""Watch: look at a source again and again, and take what arrives, each image once however often it is stopped."""

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
from pipelines.workspace.free_space import cleaned_up_commit
from pipelines.workspace.hold import hold_workspace, pin_table
from pipelines.workspace.tables import Tables

Sleep = Callable[[float], None]


def watch(spark: SparkSession, settings: Settings, sleep: Sleep = time.sleep) -> Iterator[StageResult]:
    """Give a result for every look that found something, without end.

    What cannot be done at the first look ends it. Later the source may be away, the disk full, or another command may
    hold the workspace: that is a note, and the next look tries again. The workspace is held only during a look.
    """
    watcher = Watcher(Tables.of(spark, settings), open_source(settings), settings)
    is_first = True
    while True:
        try:
            with hold_workspace(settings), cleaned_up_commit(watcher.tables):
                result = watcher.poll()
        except (AccessError, PlatformError) as error:
            if is_first:
                raise
            result = StageResult("ingest", notes=(f"{error} The next look tries again.",))
        if result.read or result.notes:
            yield result
        is_first = False
        sleep(settings.ingest.poll_seconds)


@dataclass
class Watcher:
    """Look at one source. New names go to the table arrivals, from which a stream hands them to ingest."""

    tables: Tables
    source: Source
    settings: Settings
    skipped_files: str | None = None  # what the last look passed over

    def poll(self) -> StageResult:
        """Take all that is new now, after what an earlier look was stopped at."""
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
        failures = sum((Counter(each.failures) for each in results), Counter[str]())
        notes = tuple(dict.fromkeys(note for each in results for note in each.notes))
        before, self.skipped_files = self.skipped_files, listing.skipped_files.note(listing.count)
        if self.skipped_files and self.skipped_files != before:
            notes += (self.skipped_files,)
        read, written = sum(each.read for each in results), sum(each.written for each in results)
        return StageResult("ingest", read, written, failures, clock.seconds, notes)

    def _ingest_batch(self, results: list[StageResult], gone: DataFrame | None, names: DataFrame) -> None:
        """Ingest a batch of the stream. One that was stopped comes again, and finds done what was done."""
        tables = replace(self.tables, spark=names.sparkSession)  # a stream has a session of its own
        listing = Listing(names, names.count(), SkippedFiles(), is_complete=False)
        results.append(apply_listing(tables, self.source, self.settings, listing, Stopwatch(), gone))

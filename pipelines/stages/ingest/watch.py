"""Watch a source: repeat the incremental ingest, which reads each new image once however often it is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from pyspark.sql import SparkSession

from pipelines.config.settings import Settings
from pipelines.errors import AccessError, DataError, PlatformError
from pipelines.stages.ingest import stage
from pipelines.stages.result import StageResult
from pipelines.workspace.free_space import clean_up_on_failure
from pipelines.workspace.hold import hold_workspace
from pipelines.workspace.tables import Tables

Sleep = Callable[[float], None]


def watch(spark: SparkSession, settings: Settings, sleep: Sleep = time.sleep) -> Iterator[StageResult]:
    """Yield a result for every poll that found something or has a note that the poll before it did not have.

    An error of the first poll is raised. Later the source may be unavailable, the disk full, or the workspace locked by
    another command: that becomes a note, and the next poll retries. The workspace is locked only during a poll.
    """
    is_first, reported = True, frozenset[str]()
    while True:
        try:
            with hold_workspace(settings), clean_up_on_failure(Tables.of(spark, settings)):
                result = stage.run(spark, settings, may_be_empty=True)
        except (AccessError, DataError, PlatformError) as error:
            if is_first:
                raise
            spark.catalog.clearCache()  # of the failed poll
            result = StageResult("ingest", notes=(f"{error} The next poll tries again.",))
        else:
            notes = tuple(note for note in result.notes if note not in reported)
            reported = frozenset(result.persistent_notes)
            result = replace(result, notes=notes)
        if result.read or result.written or result.notes:
            yield result
        is_first = False
        sleep(settings.ingest.poll_seconds)

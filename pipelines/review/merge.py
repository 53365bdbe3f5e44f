"""Append the journals to the table labels with Spark, which is started only when there is something to append."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipelines.config.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

BATCH = 500  # decisions of a session between two merges


class Merger:
    """Merges in a background thread, one merge at a time. The journals are safe on the disk all the while."""

    def __init__(self, settings: Settings, get_spark: Callable[[], SparkSession], batch: int = BATCH) -> None:
        self._settings, self._get_spark, self._batch = settings, get_spark, batch
        self._merged = 0  # decisions of this session when the last merge began
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.fault = ""

    def merge_if_due(self, count: int) -> None:
        """Start a merge if there are `batch` new decisions since the last one and none is running."""
        with self._lock:
            is_running = self._thread is not None and self._thread.is_alive()
            if is_running or count - self._merged < self._batch:
                return
            self._merged = count
            self._thread = threading.Thread(target=self._merge_quietly, daemon=True)
            self._thread.start()

    def merge(self) -> int:
        """Merge now, after one that is running; return how many decisions were appended.

        Raises PlatformError if Spark does not start.
        """
        thread = self._thread
        if thread is not None:
            thread.join()
        return self._merge()

    def _merge(self) -> int:
        spark = self._get_spark()  # before the imports: see `start_once`
        from pipelines.workspace.journals import merge_journals
        from pipelines.workspace.tables import Tables

        return merge_journals(Tables.of(spark, self._settings))

    def _merge_quietly(self) -> None:
        try:
            self._merge()
            self.fault = ""
        except Exception as error:  # the next merge tries again, at the latest at the end, which raises
            self.fault = f"{type(error).__name__}: {error}"

"""Remove what a failed commit has left in the tables of a local workspace: files that no commit names."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pyspark.sql import SparkSession

from pipelines.storage.tables import Tables

PATIENCE = 20.0  # seconds for the tasks of a failed job to end; they write until then


def remove_orphans(workspace: str, tables: Tables | None) -> int:
    """Remove the files that were written since the workspace was locked and that no commit names; return their bytes.

    Only for a workspace that this process holds: another's files would be taken for left-overs.
    """
    lock = Path(workspace, ".lock")
    if tables is None or tables.schema or "://" in workspace or not lock.is_file():
        return 0
    end_tasks(tables.spark)
    since = lock.stat().st_mtime  # by the clock of the disk itself
    return sum(_clean(table, since) for table in Path(workspace, "tables").glob("*"))


def end_tasks(spark: SparkSession, wait: Callable[[float], None] = time.sleep) -> None:
    """Cancel all jobs, and wait until no task is at work any more."""
    context = spark.sparkContext
    with suppress(Exception):  # a Spark that has ended has no tasks
        context.cancelAllJobs()
        summaries = context._jsc.sc().statusStore()
        for _ in range(int(PATIENCE / 0.2)):
            if not sum(each.activeTasks() for each in _listed(summaries.executorList(True))):
                return
            wait(0.2)


def _listed(found: object) -> list:  # type: ignore[type-arg]
    return [found.apply(i) for i in range(found.size())]  # type: ignore[attr-defined]


def _clean(table: Path, since: float) -> int:
    """Remove a table's left-overs, and the table's folder if nothing was ever committed to it."""
    log = table / "_delta_log"
    if not log.is_dir():
        return 0
    named = "".join(file.read_text("utf-8") for file in log.glob("*.json"))
    freed = 0
    for file in [*table.rglob("*.parquet"), *table.rglob(".*.crc"), *log.glob(".*.tmp")]:
        data = file.name.removeprefix(".").removesuffix(".crc")
        is_commit = file.parent == log and (log / data).is_file() and not file.name.endswith(".tmp")
        if not is_commit and data not in named and (found := file.stat()).st_mtime >= since:
            freed += found.st_size
            file.unlink()
    if not any(log.glob("*.json")):
        for folder in (*(each for each in log.iterdir() if each.is_dir()), log, table):
            with suppress(OSError):  # not empty
                folder.rmdir()
    return freed

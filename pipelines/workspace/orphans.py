"""Find and remove orphans: files in local tables that no commit names, left by failed or killed runs.

Reads Delta's log directly, without Spark, which may not start on a full disk.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from pipelines.workspace.tables import Tables

UNLOCKED_TABLES = ("datasets", "labels")  # written without the workspace's lock; they only grow, by a few KB
TASK_WAIT_SECONDS = 20.0  # the tasks of a failed job write until they end
NAME = re.compile(r"[^\"/\\\s]+\.parquet")  # Delta's file names are plain ASCII
VERSION = re.compile(r"(\d{20})\.(json|checkpoint\..*parquet)")
IN_PROGRESS = (".tmp", ".crc")


def remove_orphans(workspace: str, tables: Tables | None) -> int:
    """Remove orphans written since the workspace was locked; return their bytes.

    Only in a workspace that this process holds: files in progress of another process would look like orphans.
    """
    lock = Path(workspace, ".lock")
    if tables is None or tables.schema or "://" in workspace or not _is_ours(lock):
        return 0
    cancel_jobs(tables.spark)
    since = lock.stat().st_mtime  # by the disk's own clock
    freed = 0
    for table in Path(workspace, "tables").glob("*"):
        if table.name == "labels":  # a review server may be writing it
            continue
        for file in find_orphans(table, since):
            freed += file.stat().st_size
            file.unlink()
        remove_empty_table(table)
    return freed


def find_orphans(table: Path, since: float = 0.0) -> list[Path]:
    """Return the files of a table, changed at `since` or later, that no commit names, with their checksums.

    Empty if the log has gaps: the missing commits may name the files.
    """
    log = table / "_delta_log"
    names = _read_log_names(log) if log.is_dir() else None
    if names is None:
        return []
    orphans = [file for file in table.rglob("*.parquet") if log not in file.parents and file.name not in names]
    other_names = {file.name for file in table.rglob("*")} - {file.name for file in orphans}
    orphans += [
        file for file in table.rglob(".*") if file.name.endswith(IN_PROGRESS) and _is_unfinished(file, other_names)
    ]
    return sorted(file for file in orphans if file.is_file() and file.stat().st_mtime >= since)


def find_superseded(tables: Tables, name: str) -> list[Path]:
    """Return the committed files of a local table that the current snapshot no longer reads, with checksums.

    `tables.vacuum(name, 0)` deletes them, and orphans.
    """
    table = Path(tables.location(name))
    orphans = set(find_orphans(table))
    live = {address.rpartition("/")[2] for address in tables.read(name).inputFiles()}
    superseded = []
    for file in table.rglob("*.parquet"):
        is_hidden = any(part.startswith(("_", ".")) for part in file.relative_to(table).parts)
        if not is_hidden and file.name not in live and file not in orphans:
            checksum = file.with_name(f".{file.name}.crc")
            superseded += [file, checksum] if checksum.is_file() else [file]
    return superseded


def remove_empty_table(table: Path) -> None:
    """Remove the folder of a table without any commit, if it contains no file."""
    log = table / "_delta_log"
    if log.is_dir() and not any(log.glob("*.json")) and not any(entry.is_file() for entry in table.rglob("*")):
        for folder in (*(entry for entry in log.iterdir() if entry.is_dir()), log, table):
            with suppress(OSError):  # not empty
                folder.rmdir()


def cancel_jobs(spark: SparkSession, wait: Callable[[float], None] = time.sleep) -> None:
    """Cancel all jobs, and wait until no task is active."""
    context = spark.sparkContext
    with suppress(Exception):  # a stopped session has no tasks
        context.cancelAllJobs()
        summaries = context._jsc.sc().statusStore()
        for _ in range(int(TASK_WAIT_SECONDS / 0.2)):
            if not sum(executor.activeTasks() for executor in _to_list(summaries.executorList(True))):
                return
            wait(0.2)


def _to_list(sequence: object) -> list:  # type: ignore[type-arg]
    return [sequence.apply(i) for i in range(sequence.size())]  # type: ignore[attr-defined]


def _is_ours(lock: Path) -> bool:
    """Return whether this process was the last to lock the workspace: shards of a sweep do not lock it."""
    try:
        return lock.read_text("ascii").strip() == str(os.getpid())
    except OSError:
        return False


def _is_unfinished(file: Path, other_names: Iterable[str]) -> bool:
    """Return whether a file in progress was never finished, or is the checksum of a missing file."""
    data = file.name.removeprefix(".").removesuffix(".crc")
    return file.name.endswith(".tmp") or data.endswith(".tmp") or data not in other_names


def _read_log_names(log: Path) -> set[str] | None:
    """Return the names of all Parquet files in a log; null if it has gaps or cannot be read."""
    versions: dict[str, set[int]] = {"json": set(), "checkpoint": set()}
    names: set[str] = set()
    for file in log.iterdir():
        if match := VERSION.fullmatch(file.name):
            versions[match[2].partition(".")[0]].add(int(match[1]))
    commits, checkpoints = versions["json"], versions["checkpoint"]
    first = min(commits, default=0)
    if commits and len(commits) != max(commits) - first + 1:
        return None
    if first and not any(version >= first - 1 for version in checkpoints):
        return None
    if not commits and checkpoints:
        return None
    for file in log.glob("*.json"):
        names.update(NAME.findall(file.read_text("utf-8")))
    for file in log.rglob("*.parquet"):  # those of `_sidecars` too
        try:
            names.update(_read_checkpoint_names(file))
        except (pa.ArrowException, OSError):
            return None
    return names


def _read_checkpoint_names(file: Path) -> Iterable[str]:
    parquet = pq.ParquetFile(file)
    if "add" not in parquet.schema_arrow.names:
        return []
    paths = parquet.read(columns=["add.path"]).column("add").combine_chunks().field("path").to_pylist()
    return [path.rpartition("/")[2] for path in paths if path]

"""Refuse a commit that the disk has no room for, before anything of it is written; clean up after one that failed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.disk_space import explain_full_disk, require_space
from pipelines.workspace.lock import can_lock
from pipelines.workspace.orphans import remove_orphans
from pipelines.workspace.tables import Tables

OVERHEAD = 0.02  # of the bytes of images, for what stands beside them in a file of Parquet


def require_free_space(tables: Tables, size: int, what: str, *, spill_bytes: int = 0, remedy: str = "") -> None:
    """Raise PlatformError where a local workspace lacks room for `size` bytes, or Spark's own folders for `spilled`.

    Costs a question to each disk. A workspace elsewhere is not looked at: nobody here knows how much room it has.
    """
    if not is_local(tables):
        return
    needed = {Path(tables.workspace): int(size * (1 + OVERHEAD))}
    folders = _spark_folders(tables) if spill_bytes else []
    for folder in folders:  # between which Spark shares its blocks
        needed[folder] = needed.get(folder, 0) + spill_bytes // len(folders)
    require_space(needed, what, remedy)


def is_local(tables: Tables) -> bool:
    """Return whether the files of the tables lie in a folder that this machine sees."""
    return not tables.schema and can_lock(tables.workspace)


@contextmanager
def clean_up_on_failure(tables: Tables) -> Iterator[None]:
    """Remove what a failed commit of the block leaves; raise PlatformError where the disk was full."""
    try:
        yield
    except Exception as error:
        disk_error = explain_full_disk(error, tables.workspace)  # as it was before there is more room
        remove_orphans(tables.workspace, tables)
        if disk_error:
            raise disk_error from error
        raise


def _spark_folders(tables: Tables) -> list[Path]:
    """Return the folders in which executors on this machine keep blocks; none where they are elsewhere."""
    context = tables.spark.sparkContext
    if not context.master.startswith("local"):
        return []
    configured = os.environ.get("SPARK_LOCAL_DIRS") or context.getConf().get("spark.local.dir", "/tmp")
    return list(dict.fromkeys(Path(part.strip()) for part in configured.split(",") if part.strip()))

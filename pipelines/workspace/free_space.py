"""Check the free disk space before a commit, and clean up after a failed one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.disk_space import explain_full_disk, require_space
from pipelines.workspace.lock import can_lock
from pipelines.workspace.orphans import remove_orphans
from pipelines.workspace.tables import Tables

OVERHEAD = 0.02  # of the bytes of images, for other data in a Parquet file


def require_free_space(tables: Tables, size: int, what: str, *, spill_bytes: int = 0, remedy: str = "") -> None:
    """Raise PlatformError if a local workspace lacks space for `size` bytes, or Spark's folders for `spill_bytes`.

    Costs one system call per disk. A remote workspace is not checked: its free space is unknown here.
    """
    if not is_local(tables):
        return
    needed = {Path(tables.workspace): int(size * (1 + OVERHEAD))}
    folders = _spark_folders(tables) if spill_bytes else []
    for folder in folders:  # Spark distributes its blocks over them
        needed[folder] = needed.get(folder, 0) + spill_bytes // len(folders)
    require_space(needed, what, remedy)


def is_local(tables: Tables) -> bool:
    """Return whether the files of the tables are in a local folder."""
    return not tables.schema and can_lock(tables.workspace)


def remove_failed_commit(workspace: str, tables: Tables | None) -> None:
    """Remove the files of a failed commit; if that fails, only print why, to keep the original error."""
    try:
        remove_orphans(workspace, tables)
    except OSError as error:
        print(f"irbis: leftovers of a failed commit stay until `irbis clean` ({error}).", file=sys.stderr)


@contextmanager
def clean_up_on_failure(tables: Tables) -> Iterator[None]:
    """Remove the files of a failed commit in the block; raise PlatformError if the disk was full."""
    try:
        yield
    except Exception as error:
        disk_error = explain_full_disk(error, tables.workspace)  # check before the removal frees space
        remove_failed_commit(tables.workspace, tables)
        if disk_error:
            raise disk_error from error
        raise


def _spark_folders(tables: Tables) -> list[Path]:
    """Return the folders in which local executors keep blocks; none if executors are remote."""
    context = tables.spark.sparkContext
    if not context.master.startswith("local"):
        return []
    configured = os.environ.get("SPARK_LOCAL_DIRS") or context.getConf().get("spark.local.dir", "/tmp")
    return list(dict.fromkeys(Path(part.strip()) for part in configured.split(",") if part.strip()))

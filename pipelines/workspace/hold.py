"""Reserve a workspace for one run at a time, and pin its tables where no lock is exclusive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from pipelines.azure.lease import workspace_lease
from pipelines.config.settings import Settings
from pipelines.spark.runtime import is_external_session
from pipelines.workspace.lock import can_lock, workspace_lock

if TYPE_CHECKING:  # the CLI holds the workspace before it loads Spark
    from pipelines.workspace.tables import Tables


@contextmanager
def hold_workspace(settings: Settings) -> Iterator[None]:
    """Reserve the workspace while the block runs. Raises PlatformError if another process holds it.

    A local folder is locked. In Blob Storage a blob is leased, if this process starts Spark; an external Spark has its
    own credentials, which the lease cannot use.
    """
    lease = nullcontext() if is_external_session() else workspace_lease(settings)
    with workspace_lock(settings.workspace), lease:
        yield


def is_exclusive(settings: Settings) -> bool:
    """Return whether the lock on the workspace excludes all other writers of the tables.

    A lease does not: it may expire while its holder still writes files of an open commit.
    """
    return settings.tables.schema_ is None and can_lock(settings.workspace)


def pin_table(tables: Tables, settings: Settings, name: str) -> None:
    """Make this run's later commits to a table fail if another run commits first.

    Call it before reading the pending work. It does nothing, at no cost, if a lock excludes all other writers.
    """
    if not is_exclusive(settings):
        from pipelines.workspace.commits import read_pin

        tables.pins[name] = read_pin(tables, name)

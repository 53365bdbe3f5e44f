"""Hold a workspace while a run writes there, and pin the tables that it writes to where no lock is certain."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from pipelines.config.settings import Settings
from pipelines.spark.runtime import is_external_session
from pipelines.workspace.lease import workspace_lease
from pipelines.workspace.lock import can_lock, workspace_lock

if TYPE_CHECKING:  # the command holds the workspace before it loads Spark
    from pipelines.workspace.tables import Tables


@contextmanager
def hold_workspace(settings: Settings) -> Iterator[None]:
    """Hold the workspace while the block runs. Raises PlatformError if another process holds it.

    A folder of this machine is locked; in Blob Storage a blob is leased, if this process starts Spark. Elsewhere Spark
    has credentials of its own, which the lease could not use.
    """
    lease = nullcontext() if is_external_session() else workspace_lease(settings)
    with workspace_lock(settings.workspace), lease:
        yield


def is_exclusive(settings: Settings) -> bool:
    """Return whether the lock on the workspace keeps all others from writing to the tables.

    A lease does not: it may end while its holder still writes files that it has not committed yet.
    """
    return settings.tables.schema_ is None and can_lock(settings.workspace)


def pin_table(tables: Tables, settings: Settings, name: str) -> None:
    """Let this run's commits to a table fail from here on if another run commits first.

    Call it before what is left to do is read. Where a lock keeps all others away it does nothing, and costs nothing.
    """
    if not is_exclusive(settings):
        from pipelines.workspace.commits import read_pin

        tables.pins[name] = read_pin(tables, name)

"""Lease a workspace in Blob Storage while a run writes to it.

The lease lasts a minute and is renewed during the run, so that a killed run blocks the workspace for at most a minute.
It can expire if a run cannot renew it: `require_lease` checks it before each commit, and `workspace.commits` guards the
tables in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

from pipelines.azure_uri import is_azure_uri
from pipelines.config.settings import Settings

if TYPE_CHECKING:  # most workspaces need no SDK
    from pipelines.azure.blob_lease import Lease

_held: dict[str, Lease] = {}  # by workspace


@contextmanager
def workspace_lease(settings: Settings) -> Iterator[None]:
    """Lease a workspace in Blob Storage while the block runs; do nothing for any other workspace.

    Raises PlatformError if another process holds it, AccessError if the blob cannot be leased.
    """
    if not is_azure_uri(settings.workspace):
        yield
        return
    from pipelines.azure.blob_lease import Lease

    workspace = settings.workspace.rstrip("/")
    lease = Lease(workspace, settings)
    lease.acquire()
    stop = Event()
    renewer = Thread(target=lease.renew_until, args=(stop,), daemon=True)
    renewer.start()
    _held[workspace] = lease
    try:
        yield
    finally:
        del _held[workspace]
        stop.set()
        renewer.join()
        lease.release()


def require_lease(workspace: str) -> None:
    """Raise PlatformError if this process has lost its lease on the workspace."""
    if lease := _held.get(workspace):
        lease.require_held()

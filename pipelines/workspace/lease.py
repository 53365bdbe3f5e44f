"""Hold a workspace in Blob Storage with a lease, while a run writes there.

The lease is of a minute and is renewed while the run lasts, so that a killed run blocks the workspace for a minute at
most. It can end under a run that cannot renew it: `require_lease` asks for it before each commit, and `storage.commits`
guards the tables whatever happens in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

from pipelines.azure_uri import is_azure_uri
from pipelines.config.settings import Settings

if TYPE_CHECKING:  # most workspaces need no SDK
    from pipelines.azure.lease import Lease

_held: dict[str, Lease] = {}  # by workspace


@contextmanager
def workspace_lease(settings: Settings) -> Iterator[None]:
    """Hold a workspace in Blob Storage while the block runs; any other is not held.

    Raises PlatformError if another process holds it, AccessError if the blob cannot be leased.
    """
    if not is_azure_uri(settings.workspace):
        yield
        return
    from pipelines.azure.lease import Lease

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
    """Raise PlatformError if this process held the workspace and does so no longer."""
    if lease := _held.get(workspace):
        lease.require_held()

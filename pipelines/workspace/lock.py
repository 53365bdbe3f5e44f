"""Lock a workspace for one process at a time: two would compute, and store, the same rows twice."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipelines.errors import PlatformError

VOLUMES = ("/Volumes/", "/dbfs/")
WAIT_SECONDS = 120.0  # for a lock that others hold for seconds


def can_lock(workspace: str) -> bool:
    """Return whether `workspace_lock` can lock a workspace: only local folders."""
    return "://" not in workspace and not workspace.startswith(VOLUMES)


@contextmanager
def workspace_lock(workspace: str) -> Iterator[None]:
    """Lock the workspace while the block runs; raise PlatformError if another process holds the lock.

    The system releases it when the process ends, however it ends. Cloud workspaces and Databricks volumes, whose files
    support neither locks nor appending, are not locked: there the tables reject the second run (`workspace.commits`).
    """
    if not can_lock(workspace):
        yield
        return
    folder = Path(workspace).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a+")
    except OSError as error:
        raise PlatformError(
            f"workspace = {folder} cannot be written ({error.strerror}). Choose another: --workspace DIR."
        ) from error
    with file:
        if not try_lock(file.fileno()):
            file.seek(0)
            owner = file.read().strip() or "?"
            raise PlatformError(f"Process {owner} is working in {folder}. Wait for it, or choose another --workspace.")
        file.truncate(0)
        with suppress(OSError):  # on a full disk the holder stays unknown to others
            os.write(file.fileno(), str(os.getpid()).encode())
        yield


@contextmanager
def wait_for_lock(workspace: str, folder: str) -> Iterator[None]:
    """Lock a folder of the workspace while the block runs; wait for a process that holds the lock.

    It protects short commits beside a run that holds the workspace. What `workspace_lock` cannot lock is not locked
    here either. Raises PlatformError after WAIT_SECONDS.
    """
    if not can_lock(workspace):
        yield
        return
    path = Path(workspace, folder)
    path.mkdir(parents=True, exist_ok=True)
    with (path / ".lock").open("a+") as file:
        last = time.monotonic() + WAIT_SECONDS
        while not try_lock(file.fileno()):
            if time.monotonic() > last:
                raise PlatformError(f"Another process has held {path / '.lock'} for {WAIT_SECONDS:.0f} s. Stop it.")
            time.sleep(0.05)
        yield


def try_lock(descriptor: int) -> bool:
    """Lock an open file and return True, or return False if another process has locked it; never wait."""
    try:
        import fcntl
    except ImportError:  # Windows has no flock; runs are not protected there
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a mounted bucket has no locks: the job's own concurrency limit applies, as in the cloud
        return True
    return True

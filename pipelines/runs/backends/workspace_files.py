"""Access to a workspace's files without Spark: in a local folder, or in a remote store.

A laptop uses it to upload files for runs and to read their records.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.atomic_write import write_atomic
from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.runs.backends.base import read_from
from pipelines.sources.registry import find_store


class WorkspaceFiles:
    """Access to files by their full paths or URIs. Raises AccessError, or ConnectionError for transient errors."""

    def __init__(self, settings: Settings):
        self._settings = settings

    def validate(self, folder: str) -> list[str]:
        """Return the reasons why this machine cannot write to a folder."""
        if "://" in folder and not _has_files(find_store(folder)):
            return [
                f"workspace = {folder} cannot be reached from this machine. Use one in Blob Storage (az://ACCOUNT/"
                "CONTAINER/PREFIX, abfss:, wasbs:), or a folder that this machine and the cluster share (/data/irbis)."
            ]
        if "://" not in folder and not Path(folder).is_absolute():
            return [
                f"workspace = {folder} is a relative path, which the cluster cannot reach. Use an absolute path "
                "that both share (/data/irbis), or one in Blob Storage (az://ACCOUNT/CONTAINER/PREFIX)."
            ]
        return []

    def files(self, folder: str) -> list[tuple[str, int]]:
        """List the files below a folder as (relative path, bytes). A missing folder has none."""
        if store := _remote_store(folder):
            return list(store.list_files(folder, self._settings))
        root = Path(folder).expanduser()
        return sorted((f.relative_to(root).as_posix(), f.stat().st_size) for f in root.rglob("*") if f.is_file())

    def read(self, address: str, start: int = 0) -> bytes:
        if store := _remote_store(address):
            return bytes(store.read_file(address, self._settings)[start:])
        return read_from(Path(address).expanduser(), start)

    def write(self, address: str, content: bytes) -> None:
        if store := _remote_store(address):
            store.write_file(address, content, self._settings)
        else:
            write_atomic(Path(address).expanduser(), content)


def _has_files(store: Any) -> bool:
    return hasattr(store, "write_file")


def _remote_store(address: str) -> Any:
    """Return the module of the store of a URI; None for a local path. Raises DataError for any other URI."""
    if "://" not in address:
        return None
    store = find_store(address)
    if not _has_files(store):
        raise DataError(f"{address} cannot be reached from this machine. Read it there.")
    return store

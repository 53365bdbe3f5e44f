"""Access to a workspace's files without Spark: in a local folder, or in a container of Blob Storage.

A laptop uses it to upload files for runs and to read their records.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipelines.atomic_write import write_atomic
from pipelines.azure.credentials import check_token, find_credential
from pipelines.azure.retry import TransientError
from pipelines.azure_uri import is_azure_uri, parse_blob_uri
from pipelines.config.settings import Settings
from pipelines.errors import AccessError, DataError, ImageError
from pipelines.runs.backends.base import read_from
from pipelines.sources.stores.azure_blob import BACKGROUND_RETRY, AzureBlobs
from pipelines.sources.upload import guess_content_type


class WorkspaceFiles:
    """Access to files by their full paths or URIs. Raises AccessError, or ConnectionError for transient errors."""

    def __init__(self, settings: Settings):
        self._settings = settings

    def validate(self, folder: str) -> list[str]:
        """Return the reasons why this machine cannot write to a folder."""
        if "://" in folder and not is_azure_uri(folder):
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
        if not is_azure_uri(folder):
            root = _local_path(folder)
            return sorted((f.relative_to(root).as_posix(), f.stat().st_size) for f in root.rglob("*") if f.is_file())
        blobs = self._container(folder).list_all
        try:
            sizes = {blob.relative_path: blob.size for blob in blobs()}
        except AccessError as error:
            raise _as_transient(error) from error
        folders = {name.rpartition("/")[0] for name in sizes}  # some accounts list folders as empty blobs
        return sorted((name, size) for name, size in sizes.items() if name and (size or name not in folders))

    def read(self, address: str, start: int = 0) -> bytes:
        if not is_azure_uri(address):
            return read_from(_local_path(address), start)
        try:
            return self._container(address).read_file(address)[start:]
        except AccessError as error:
            raise _as_transient(error) from error

    def write(self, address: str, content: bytes) -> None:
        if not is_azure_uri(address):
            return write_atomic(_local_path(address), content)
        folder, _, name = address.rpartition("/")
        md5 = hashlib.md5(content, usedforsecurity=False).digest()
        try:
            self._container(f"{folder}/").put(name, content, md5, guess_content_type(name))
        except ImageError as error:  # raised by AzureBlobs.put, which is shared with images
            fault = AccessError(f"{address} cannot be written ({error.detail}).")
            raise _as_transient(fault, error.__cause__) from error

    def _container(self, address: str) -> AzureBlobs:
        location, signature = parse_blob_uri(address)
        credential = find_credential(self._settings.azure, signature, location)
        check_token(credential)
        return AzureBlobs(location, credential, self._settings.ingest.threads, BACKGROUND_RETRY)


def _local_path(address: str) -> Path:
    if "://" in address:
        raise DataError(f"{address} cannot be reached from this machine. Read it there.")
    return Path(address).expanduser()


def _as_transient(error: AccessError, cause: BaseException | None = None) -> Exception:
    """Return a ConnectionError for a transient error, else the error itself."""
    return ConnectionError(str(error)) if isinstance(cause or error.__cause__, TransientError) else error

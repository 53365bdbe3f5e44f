"""A container of Azure Blob Storage as a source of images."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipelines import azure_uri
from pipelines.azure.client import AzureRequestError, get_blob
from pipelines.azure.container import check_access, container_client, error_code
from pipelines.azure.credentials import Credential, check_token, find_credential
from pipelines.azure.listing import Page, list_page
from pipelines.azure.retry import RetryPolicy, TransientError
from pipelines.azure_uri import BlobLocation, parse_blob_uri
from pipelines.config.settings import Settings
from pipelines.errors import AccessError, DataError, ImageError
from pipelines.safe_paths import find_dot_segment, find_name_fault
from pipelines.schemas import Failure, SourceFile

SCHEMES = azure_uri.SCHEMES
BACKGROUND_RETRY = RetryPolicy()
LIST_THREADS = 8  # prefixes listed in parallel


def create_source(address: str, settings: Settings) -> AzureBlobs:
    """Return the container of a URI, after a check of its access. Raises AccessError, DataError."""
    source = _open_unchecked(address, settings)
    if source.credential.kind == "token" and source.location.endpoint.startswith("http:"):
        raise AccessError(f"{source.location.endpoint}: tokens are only sent over https. Write https, or set a key.")
    check_access(source.location, source.credential, settings.ingest.threads)
    return source


def root_of(address: str) -> str:
    """Return the common prefix of the paths of the images at a URI, without a request."""
    location, _ = parse_blob_uri(address)
    return location.root + location.prefix


def path_below(address: str, root: str) -> str | None:
    """Return the path of a location below a source's root: empty, or ending with a slash; None if it is elsewhere."""
    location, _ = parse_blob_uri(address)
    prefix = (location.root + location.prefix).rstrip("/") + "/"
    return prefix[len(root) :] if prefix.startswith(root) else None


def list_files(folder: str, settings: Settings) -> list[tuple[str, int]]:
    """List the blobs below a folder as (relative path, bytes). Raises AccessError, or ConnectionError if transient."""
    try:
        sizes = {blob.relative_path: blob.size for blob in _open_unchecked(folder, settings).list_all()}
    except AccessError as error:
        raise _as_transient(error, error.__cause__) from error
    folders = {name.rpartition("/")[0] for name in sizes}  # some accounts list folders as empty blobs
    return sorted((name, size) for name, size in sizes.items() if name and (size or name not in folders))


def read_file(address: str, settings: Settings) -> bytes:
    """Return the bytes of a blob. Raises as `list_files` does."""
    try:
        return _open_unchecked(address, settings).read_file(address)
    except AccessError as error:
        raise _as_transient(error, error.__cause__) from error


def write_file(address: str, content: bytes, settings: Settings) -> None:
    """Write a blob. Raises as `list_files` does."""
    folder, _, name = address.rpartition("/")
    md5 = hashlib.md5(content, usedforsecurity=False).digest()
    content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    try:
        _open_unchecked(f"{folder}/", settings).put(name, content, md5, content_type)
    except ImageError as error:  # raised by `put`, which is shared with images
        fault = AccessError(f"{address} cannot be written ({error.detail}).")
        raise _as_transient(fault, error.__cause__) from error


def _open_unchecked(address: str, settings: Settings) -> AzureBlobs:
    location, signature = parse_blob_uri(address)
    credential = find_credential(settings.azure, signature, location)
    check_token(credential)
    return AzureBlobs(location, credential, settings.ingest.threads, BACKGROUND_RETRY)


def _as_transient(error: AccessError, cause: BaseException | None) -> Exception:
    """Return a ConnectionError for a transient error, else the error itself."""
    return ConnectionError(str(error)) if isinstance(cause, TransientError) else error


@dataclass
class AzureBlobs:
    """The blobs below a prefix. Pickled, it contains only a read credential (`Credential.to_read_sas`)."""

    location: BlobLocation
    credential: Credential
    threads: int
    retry: RetryPolicy
    problems: list[str] = field(default_factory=list)

    @property
    def root(self) -> str:
        return self.location.root + self.location.prefix

    def list(self) -> Iterator[SourceFile]:
        """Yield every blob that a request can address; add the others to `problems`."""
        for blob in self.list_all():
            if fault := find_dot_segment(blob.path[len(self.location.root) :]):
                self.problems.append(f"{blob.path}: {fault}, which requests resolve to another blob; rename it")
            else:
                yield blob

    def list_all(self) -> Iterator[SourceFile]:
        """Yield every blob, page by page, top-level folders in parallel. Versions and snapshots are left out."""
        credential = self.credential.to_read_sas(self.location, may_list=True)
        folders: list[str] = []
        for page in self._pages(credential, self.location.prefix, "/"):
            folders += page.folders
            yield from page.blobs
        with ThreadPoolExecutor(LIST_THREADS) as pool:
            for first in range(0, len(folders), LIST_THREADS):  # bounded: at most LIST_THREADS pages wait
                open_listings = [self._pages(credential, folder) for folder in folders[first : first + LIST_THREADS]]
                while open_listings:
                    next_pages = list(pool.map(lambda listing: next(listing, None), open_listings))
                    open_listings = [
                        listing for listing, page in zip(open_listings, next_pages, strict=True) if page is not None
                    ]
                    for next_page in next_pages:
                        yield from next_page.blobs if next_page else ()

    def peek(self, path: str) -> bytes:
        """Return no bytes: each call would cost a request."""
        return b""

    def fetch(self, path: str, etag: str) -> bytes:
        """Return the bytes of this version; raise ImageError if it was deleted, has changed, or cannot be read."""
        name = path[len(self.location.root) :]
        try:
            return self.retry.call(lambda: self._get(name, etag))
        except TransientError as error:
            raise ImageError(Failure.UNAVAILABLE, str(error)) from error

    def read_file(self, address: str) -> bytes:
        """Return the bytes of a blob in the same account, by its full URI."""
        location, signature = parse_blob_uri(address)
        name = location.prefix.rstrip("/")
        if signature or location.endpoint != self.location.endpoint:
            raise DataError(
                f"{address.partition('?')[0]} cannot be read with the credential of {self.root}: it belongs to another "
                "account, or contains a SAS. Copy it to this account, or to a local file."
            )
        try:
            return self.retry.call(
                partial(get_blob, location, self.credential.to_read_sas(location), self.threads, name)
            )
        except TransientError as error:
            raise AccessError(f"{address} cannot be read ({error}). Run again later.") from error
        except AzureRequestError as error:
            raise AccessError(f"{address} cannot be read ({error.code}). Is it there?") from error

    def put(self, relative_path: str, content: bytes, md5: bytes, content_type: str) -> None:
        """Upload a blob, replacing an existing one, or raise ImageError. The service checks and stores the MD5."""
        if fault := find_name_fault(relative_path):
            raise ImageError(Failure.FORBIDDEN, f"{fault}; rename the file")
        from azure.core.exceptions import HttpResponseError
        from azure.storage.blob import ContentSettings

        settings = ContentSettings(content_type=content_type, content_md5=bytearray(md5))
        name = self.location.prefix + relative_path
        upload = partial(self._client().upload_blob, name, content, overwrite=True, content_settings=settings)
        try:
            self.retry.call(upload)
        except TransientError as error:
            raise ImageError(Failure.UNAVAILABLE, str(error)) from error
        except HttpResponseError as error:
            raise ImageError(Failure.FORBIDDEN, error_code(error)) from error

    def _get(self, name: str, etag: str) -> bytes:
        try:
            return get_blob(self.location, self.credential, self.threads, name, etag)
        except AzureRequestError as error:
            if error.status == 412:  # a deleted blob does not match either
                raise (_changed() if self._client().get_blob_client(name).exists() else _vanished()) from error
            if error.status == 404:
                raise _vanished() from error
            raise ImageError(Failure.FORBIDDEN, error.code) from error

    def _pages(self, credential: Credential, prefix: str, delimiter: str = "") -> Iterator[Page]:
        """Yield the pages of the blobs that begin with the prefix; transient errors are retried."""
        marker = ""
        try:
            while True:
                request_page = partial(list_page, self.location, credential, self.threads, prefix, marker, delimiter)
                yield (page := self.retry.call(request_page))
                if not (marker := page.marker):
                    return
        except TransientError as error:
            raise AccessError(f"{self.root} cannot be listed completely ({error}). Run again later.") from error
        except AzureRequestError as error:
            raise AccessError(f"{self.root} cannot be listed completely ({error.code}).") from error

    def _client(self) -> Any:
        return container_client(self.location, self.credential, self.threads)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "credential": self.credential.to_read_sas(self.location)}


def _changed() -> ImageError:
    return ImageError(Failure.CHANGED, "the blob has changed since it was listed")


def _vanished() -> ImageError:
    return ImageError(Failure.VANISHED, "the blob was deleted after it was listed")

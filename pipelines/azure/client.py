"""Read blobs with a single GET request.

The SDK's download handles blobs of any size and `requests` any URI: for an image of some kilobytes they take three
times as long as the request itself. This module uses urllib3 directly, with the connection settings of `requests`.
"""

from __future__ import annotations

import base64
import hashlib
import time
from functools import lru_cache
from threading import Lock
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from pipelines.azure import retry
from pipelines.azure.credentials import SCOPE, Credential, redact_sas_in_logs
from pipelines.azure.retry import TransientError
from pipelines.azure_uri import BlobLocation
from pipelines.safe_paths import find_dot_segment

API_VERSION = "2021-12-02"  # of the service: any since 2017 reads with tokens

CLIENT_LOCK = Lock()


class AzureRequestError(Exception):
    """Error response of Blob Storage: HTTP status and Azure's error code."""

    def __init__(self, status: int, code: str):
        super().__init__(code)
        self.status, self.code = status, code


def get_blob(location: BlobLocation, credential: Credential, threads: int, name: str, etag: str | None = None) -> bytes:
    """Return the bytes of a blob, checked against its MD5 if it has one. With `etag`, only this version is read.

    Raises AzureRequestError for any other response, TransientError for failures that are worth a retry.
    """
    headers = {"If-Match": f'"{etag}"'} if etag else {}
    response_headers, content = request(location, credential, threads, location.root + quote(name, safe="/~"), headers)
    md5 = response_headers.get("Content-MD5")
    if md5 and hashlib.md5(content, usedforsecurity=False).digest() != base64.b64decode(md5):
        raise TransientError("the bytes do not match their MD5")
    return content


def request(
    location: BlobLocation, credential: Credential, threads: int, address: str, headers: dict[str, str]
) -> tuple[Any, bytes]:
    """Send a GET request and return the headers and the complete body. Raises the errors of `get_blob`.

    A URI with a segment `.` or `..` is not sent: urllib3 and servers resolve it, possibly to another container.
    """
    if fault := find_dot_segment(unquote(urlsplit(address).path)):
        raise AzureRequestError(400, fault)
    headers = {"x-ms-version": API_VERSION, "Accept-Encoding": "identity", **headers}
    with CLIENT_LOCK:  # otherwise each of a worker's first threads would create its own
        manager, read_credential = _open_connections(location, credential, threads)
        secret = read_credential.for_client(location.account)
    if read_credential.kind == "SAS":
        address += f"{'&' if '?' in address else '?'}{secret.signature}"
    else:
        headers["Authorization"] = f"Bearer {secret.get_token(SCOPE).token}"
    # Timeouts are read from their module, so that tests can shorten them.
    timeout = urllib3.Timeout(connect=retry.CONNECT_TIMEOUT, read=retry.READ_TIMEOUT)
    try:
        response = manager.urlopen(
            "GET", address, headers=headers, retries=False, redirect=False, preload_content=False, timeout=timeout
        )
        content = _read_body(response)
    except urllib3.exceptions.HTTPError as error:
        raise TransientError(retry.describe_error(error)) from error
    size = response.headers.get("Content-Length")
    if size is not None and len(content) != int(size):
        raise TransientError(f"received {len(content):,} of {int(size):,} bytes")
    return response.headers, content


def _read_body(response: Any) -> bytes:
    """Read the body before its deadline; the connection is reused only if the body was read completely."""
    try:
        retry.raise_if_transient(response.status, response.reason, response.headers)
        if response.status != 200:
            raise AzureRequestError(response.status, response.headers.get("x-ms-error-code") or response.reason)
        limit = retry.deadline(response.headers)
        # read1 returns what has arrived, so that a slow body hits its deadline. urllib3 1 only reads full blocks.
        read = getattr(response, "read1", response.read)
        blocks = []
        while block := read(retry.BLOCK_BYTES, decode_content=False):
            blocks.append(block)
            if time.monotonic() > limit:
                raise TransientError("too slow")
    except BaseException:
        response.close()
        raise
    return b"".join(blocks)


@lru_cache(4)
def _open_connections(location: BlobLocation, credential: Credential, threads: int) -> tuple[Any, Credential]:
    """Return a connection pool and a read credential for all threads; cached so that connections stay open.

    The pool uses the proxy and the certificates of the environment, as `requests` does.
    """
    from requests.utils import select_proxy

    redact_sas_in_logs()
    read_credential = credential.to_read_sas(location)  # an account key signs one SAS, not every request
    adapter = HTTPAdapter(pool_maxsize=threads)
    options = requests.Session().merge_environment_settings(location.root, {}, None, None, None)
    proxy = select_proxy(location.root, options["proxies"])
    manager = adapter.proxy_manager_for(proxy) if proxy else adapter.poolmanager
    adapter.cert_verify(manager.connection_from_url(location.root), location.root, options["verify"], options["cert"])
    return manager, read_credential

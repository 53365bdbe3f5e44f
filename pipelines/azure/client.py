"""Read from a container with one plain GET.

The SDK's download is made for blobs of any size, and requests for any address: for an image of some kilobytes they
spend three times what the request itself takes. So this speaks to urllib3, over connections such as requests makes."""

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
    """The service answered with something else than what was asked for: its status and Azure's name for it."""

    def __init__(self, status: int, code: str):
        super().__init__(code)
        self.status, self.code = status, code


def get_blob(location: BlobLocation, credential: Credential, threads: int, name: str, etag: str | None = None) -> bytes:
    """Give the bytes of a blob, if it still has this etag where one is given, compared with its MD5 where it has one.

    Raises Refused for every other answer, PassingError for what may be better the next time.
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
    """Give the headers and the whole body of an answer. Raises as `get` does.

    An address with a segment `.` or `..` is not sent: urllib3 and servers resolve it, to another container even.
    """
    if fault := find_dot_segment(unquote(urlsplit(address).path)):
        raise AzureRequestError(400, fault)
    headers = {"x-ms-version": API_VERSION, "Accept-Encoding": "identity", **headers}
    with CLIENT_LOCK:  # or the first threads of a worker make one each
        manager, read_credential = _open_connections(location, credential, threads)
        secret = read_credential.for_client(location.account)
    if read_credential.kind == "SAS":
        address += f"{'&' if '?' in address else '?'}{secret.signature}"
    else:
        headers["Authorization"] = f"Bearer {secret.get_token(SCOPE).token}"
    # Timeouts by their module, so that a test can shorten them.
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
        raise TransientError(f"{len(content):,} of {int(size):,} bytes came")
    return response.headers, content


def _read_body(response: Any) -> bytes:
    """Read the body in the time that it may take; the connection goes back only if it was read to its end."""
    try:
        retry.raise_if_transient(response.status, response.reason, response.headers)
        if response.status != 200:
            raise AzureRequestError(response.status, response.headers.get("x-ms-error-code") or response.reason)
        limit = retry.deadline(response.headers)
        # What has come, not a whole block: a body that drips must meet its limit. urllib3 1 has whole blocks only.
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
    """Give connections and a way in for many threads, kept for the life of a worker so that connections stay open.

    The connections are those of requests: through the proxy and with the certificates that the environment names.
    """
    from requests.utils import select_proxy

    redact_sas_in_logs()
    read_credential = credential.to_read_sas(location)  # an account key signs an address once, not every request
    adapter = HTTPAdapter(pool_maxsize=threads)
    options = requests.Session().merge_environment_settings(location.root, {}, None, None, None)
    proxy = select_proxy(location.root, options["proxies"])
    manager = adapter.proxy_manager_for(proxy) if proxy else adapter.poolmanager
    adapter.cert_verify(manager.connection_from_url(location.root), location.root, options["verify"], options["cert"])
    return manager, read_credential

"""Fetch one version of a blob with one request, built from azure-core's own parts.

The SDK's download is made for blobs of any size: for a picture of some kilobytes it spends twice the time of the
request on clients, ranges and headers that nobody reads.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from threading import Lock
from typing import Any
from urllib.parse import quote

from pipelines.azure_address import Place
from pipelines.storage.azure_credentials import SCOPE, Credential, hide_signatures
from pipelines.storage.retrying import PassingError

VERSION = "2021-12-02"  # of the service: any since 2017 reads with tokens

ONE = Lock()


class Refused(Exception):
    """The service answered with something else than the blob: its status and Azure's name for it."""

    def __init__(self, status: int, code: str):
        super().__init__(code)
        self.status, self.code = status, code


def get(place: Place, credential: Credential, threads: int, name: str, etag: str) -> bytes:
    """Give the bytes of a blob if it still has this etag, compared with its MD5 where it has one.

    Raises Refused for every other answer, PassingError for what may be better the next time.
    """
    from azure.core.pipeline.transport import HttpRequest

    headers = {"x-ms-version": VERSION, "If-Match": f'"{etag}"', "Accept": "*/*", "Accept-Encoding": "identity"}
    request = HttpRequest("GET", place.root + quote(name, safe="/~"), headers=headers)
    with ONE:  # or the first threads of a worker make one each
        pipeline = _pipeline(place, credential, threads)
    response = pipeline.run(request, stream=True).http_response
    if response.status_code != 200:
        response.internal_response.close()
        raise Refused(response.status_code, response.headers.get("x-ms-error-code") or response.reason)
    content = b"".join(response.stream_download(pipeline))
    size, md5 = response.headers.get("Content-Length"), response.headers.get("Content-MD5")
    if size is not None and len(content) != int(size):
        raise PassingError(f"{len(content):,} of {int(size):,} bytes came")
    if md5 and hashlib.md5(content, usedforsecurity=False).digest() != base64.b64decode(md5):
        raise PassingError("the bytes do not match their MD5")
    return content


@lru_cache(4)
def _pipeline(place: Place, credential: Credential, threads: int) -> Any:
    """Give what many threads may share; kept for the life of a worker, so connections stay open."""
    from azure.core.pipeline import Pipeline
    from azure.core.pipeline.policies import AzureSasCredentialPolicy, BearerTokenCredentialPolicy

    from pipelines.storage.azure_transport import OneTry

    hide_signatures()
    signed = credential.for_executors(place)  # an account key signs an address once, not every request
    secret = signed.for_client(place.account)
    policy = AzureSasCredentialPolicy(secret) if signed.kind == "SAS" else BearerTokenCredentialPolicy(secret, SCOPE)
    return Pipeline(OneTry(threads), [policy])

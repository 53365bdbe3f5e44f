"""One request to Azure, once, within a time: what may pass by itself is a PassingError, whatever the SDK would do.

The SDK's own retries wait up to a minute, ignore Retry-After, never try again after 429, and give a stalled body
three times its read timeout. `storage.retrying` does it instead, so they must never see such an answer.
"""

from __future__ import annotations

import time
from typing import Any

import requests
from azure.core.exceptions import AzureError
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter

from pipelines.storage import azure_answers as answers
from pipelines.storage.retrying import PassingError


class OneTry(RequestsTransport):
    """Send each request once. Safe for as many threads as it is told of."""

    def __init__(self, threads: int, **options: Any):
        session = requests.Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=threads, max_retries=0))
        super().__init__(
            session=session,
            session_owner=False,
            connection_timeout=answers.CONNECT,
            read_timeout=answers.SILENCE,
            **options,
        )

    def send(self, request: Any, **options: Any) -> Any:
        try:
            response = super().send(request, **options)
        except AzureError as error:
            raise PassingError(answers.reason(error)) from error
        except requests.RequestException as error:  # in the body, where the SDK leaves them as they are
            raise PassingError(answers.reason(error)) from error
        try:
            answers.require_lasting(response.status_code, response.reason, response.headers)
        except PassingError:
            response.internal_response.close()
            raise
        limit = answers.time_limit(response.headers)
        response.block_size = answers.BLOCK
        whole = response.stream_download
        # Never decompressed: a blob is the bytes that were stored, whatever encoding it says it has.
        response.stream_download = lambda pipeline, **_: _Body(whole(pipeline, decompress=False), limit)
        return response


class _Body:
    """Give a body's chunks until a moment of the monotonic clock; else as the SDK's own body, which it stands for."""

    def __init__(self, chunks: Any, limit: float):
        self._chunks, self._limit = chunks, limit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chunks, name)

    def __iter__(self) -> _Body:
        return self

    def __len__(self) -> int:
        return len(self._chunks)

    def __next__(self) -> bytes:
        try:
            chunk: bytes = next(self._chunks)
        except (AzureError, requests.RequestException) as error:
            raise PassingError(answers.reason(error)) from error
        if time.monotonic() > self._limit:
            self.response.internal_response.close()
            raise PassingError("too slow")
        return chunk

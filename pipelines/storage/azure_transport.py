"""One request to Azure, once, within a time: what may pass by itself is a PassingError, whatever the SDK would do.

The SDK's own retries wait up to a minute, ignore Retry-After, never try again after 429, and give a stalled body
three times its read timeout. `storage.retrying` does it instead, so they must never see such an answer.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

import requests
from azure.core.exceptions import AzureError
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter

from pipelines.storage.retrying import PassingError

CONNECT, SILENCE = 5, 15  # seconds: to be connected, without a byte
WHOLE, SLOWEST = 30, 2**19  # seconds for an answer, and one more for each half megabyte of it
BLOCK = 2**16  # bytes of a body that are read at once; the SDK's 4 KiB cost more than the request
PASSING = {408, 429, 500, 502, 503, 504}


class _Session(requests.Session):
    """Read proxies and certificates from the environment once for a host, not for every picture."""

    def __init__(self) -> None:
        super().__init__()
        self._merged: dict[tuple[Any, ...], Any] = {}

    def merge_environment_settings(self, url: Any, proxies: Any, *options: Any) -> Any:
        key = (*urlsplit(url)[:2], tuple(sorted((proxies or {}).items())), *options)
        if key not in self._merged:
            self._merged[key] = super().merge_environment_settings(url, proxies, *options)
        return dict(self._merged[key])


class OneTry(RequestsTransport):
    """Send each request once. Safe for as many threads as it is told of."""

    def __init__(self, threads: int, **options: Any):
        session = _Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=threads, max_retries=0))
        super().__init__(
            session=session, session_owner=False, connection_timeout=CONNECT, read_timeout=SILENCE, **options
        )

    def send(self, request: Any, **options: Any) -> Any:
        try:
            response = super().send(request, **options)
        except AzureError as error:
            raise PassingError(_reason(error)) from error
        except requests.RequestException as error:  # in the body, where the SDK leaves them as they are
            raise PassingError(_reason(error)) from error
        if response.status_code in PASSING:
            response.internal_response.close()
            reason = f"{response.status_code} {response.reason}"
            raise PassingError(reason, _seconds(response.headers.get("Retry-After")))
        limit = time.monotonic() + WHOLE + int(response.headers.get("Content-Length") or 0) / SLOWEST
        response.block_size = BLOCK
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
            raise PassingError(_reason(error)) from error
        if time.monotonic() > self._limit:
            self.response.internal_response.close()
            raise PassingError("too slow")
        return chunk


def _seconds(text: str | None) -> float | None:
    """Read Retry-After; a date instead of seconds is taken as none given."""
    return float(text) if text and text.strip().isdigit() else None


def _reason(error: BaseException) -> str:
    """Name what happened without the address, which may hold a signature."""
    text = str(error).lower()
    for sign, reason in (
        ("timed out", "no answer in time"),
        ("name or service not known", "no such host"),
        ("failed to resolve", "no such host"),
        ("nodename nor servname", "no such host"),
        ("certificate", "its certificate is not trusted"),
        ("refused", "connection refused"),
        ("reset", "connection reset"),
        ("incomplete", "cut off"),
    ):
        if sign in text:
            return reason
    return type(error).__name__

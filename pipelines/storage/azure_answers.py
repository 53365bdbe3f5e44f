"""What an answer of Azure may take, and which one may be better the next time."""

from __future__ import annotations

import time
from typing import Any

from pipelines.storage.retrying import TransientError

CONNECT, SILENCE = 5, 15  # seconds: to be connected, without a byte
WHOLE, SLOWEST = 30, 2**19  # seconds for an answer, and one more for each half megabyte of it
BLOCK = 2**16  # bytes of a body that are read at once; 4 KiB, as the SDK reads, cost more than the request
TRANSIENT_STATUS = {408, 429, 500, 502, 503, 504}


def raise_if_transient(status: int, text: str, headers: Any) -> None:
    """Raise PassingError for an answer that may be another one the next time."""
    if status in TRANSIENT_STATUS:
        raise TransientError(f"{status} {text}", _seconds(headers.get("Retry-After")))


def deadline(headers: Any) -> float:
    """Give the moment, of the monotonic clock, by which the body of an answer has to be there."""
    return time.monotonic() + WHOLE + int(headers.get("Content-Length") or 0) / SLOWEST


def _seconds(text: str | None) -> float | None:
    """Read Retry-After; a date instead of seconds is taken as none given."""
    return float(text) if text and text.strip().isdigit() else None


def describe_error(error: BaseException) -> str:
    """Name what happened without the address, which may hold a signature."""
    text = str(error).lower()
    for sign, name in (
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
            return name
    return type(error).__name__

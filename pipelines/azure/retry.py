"""Timeouts, transient errors and retries of Azure requests."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

CONNECT_TIMEOUT, READ_TIMEOUT = 5, 15  # seconds: to connect, and without a received byte
BASE_DEADLINE, MIN_BYTES_PER_SECOND = 30, 2**19  # seconds for a response, plus one second per half megabyte
BLOCK_BYTES = 2**16  # bytes read at once; the SDK's 4 KiB take longer than the request itself
TRANSIENT_STATUS = {408, 429, 500, 502, 503, 504}


def raise_if_transient(status: int, text: str, headers: Any) -> None:
    """Raise TransientError for a status that is worth a retry."""
    if status in TRANSIENT_STATUS:
        raise TransientError(f"{status} {text}", _parse_retry_after(headers.get("Retry-After")))


def deadline(headers: Any) -> float:
    """Return the time, on the monotonic clock, by which the body of a response must be complete."""
    return time.monotonic() + BASE_DEADLINE + int(headers.get("Content-Length") or 0) / MIN_BYTES_PER_SECOND


def _parse_retry_after(text: str | None) -> float | None:
    """Return Retry-After in seconds; null if it is missing or a date."""
    return float(text) if text and text.strip().isdigit() else None


def describe_error(error: BaseException) -> str:
    """Describe an error without its URI, which may contain a SAS."""
    text = str(error).lower()
    for fragment, name in (
        ("timed out", "timed out"),
        ("name or service not known", "no such host"),
        ("failed to resolve", "no such host"),
        ("nodename nor servname", "no such host"),
        ("certificate", "its certificate is not trusted"),
        ("refused", "connection refused"),
        ("reset", "connection reset"),
        ("incomplete", "connection closed early"),
    ):
        if fragment in text:
            return name
    return type(error).__name__


Result = TypeVar("Result")


class TransientError(Exception):
    """A failure that is worth a retry; `retry_after` is the wait in seconds requested by the server."""

    def __init__(self, reason: str, retry_after: float | None = None):
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(frozen=True)
class RetryPolicy:
    """Limits of a retry: tries, waits and deadline. Waits double, each with a jitter of one half (AWS, 2015,
    "Exponential backoff and jitter"), so that many tasks do not retry at the same moment.
    """

    tries: int = 6
    first_wait: float = 0.4  # seconds
    max_wait: float = 15.0
    deadline_seconds: float = 120.0  # seconds from the first try, after which no new try starts

    def call(
        self,
        function: Callable[[], Result],
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> Result:
        """Return the result of `function`, or raise its last TransientError. Other errors are raised at once."""
        start = clock()
        for attempt in range(1, self.tries + 1):
            try:
                return function()
            except TransientError as error:
                wait = self.wait_seconds(attempt, error.retry_after)
                if attempt == self.tries or clock() - start + wait > self.deadline_seconds:
                    raise TransientError(f"{error}, {attempt} times in {clock() - start:.0f} s") from error
                sleep(wait)
        raise AssertionError("tries is at least 1")

    def wait_seconds(self, attempt: int, retry_after: float | None = None) -> float:
        """Return the seconds to wait after a failed attempt, counted from 1; at least `retry_after`."""
        full = min(self.max_wait, self.first_wait * 2 ** (attempt - 1))
        return (retry_after or 0.0) + full * random.uniform(0.5, 1.0)

"""What an answer of Azure may take, and which one may be better the next time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

CONNECT_TIMEOUT, READ_TIMEOUT = 5, 15  # seconds: to be connected, without a byte
BASE_DEADLINE, MIN_BYTES_PER_SECOND = 30, 2**19  # seconds for an answer, and one more for each half megabyte of it
BLOCK_BYTES = 2**16  # bytes of a body that are read at once; 4 KiB, as the SDK reads, cost more than the request
TRANSIENT_STATUS = {408, 429, 500, 502, 503, 504}


def raise_if_transient(status: int, text: str, headers: Any) -> None:
    """Raise PassingError for an answer that may be another one the next time."""
    if status in TRANSIENT_STATUS:
        raise TransientError(f"{status} {text}", _parse_retry_after(headers.get("Retry-After")))


def deadline(headers: Any) -> float:
    """Give the moment, of the monotonic clock, by which the body of an answer has to be there."""
    return time.monotonic() + BASE_DEADLINE + int(headers.get("Content-Length") or 0) / MIN_BYTES_PER_SECOND


def _parse_retry_after(text: str | None) -> float | None:
    """Read Retry-After; a date instead of seconds is taken as none given."""
    return float(text) if text and text.strip().isdigit() else None


def describe_error(error: BaseException) -> str:
    """Name what happened without the address, which may hold a signature."""
    text = str(error).lower()
    for fragment, name in (
        ("timed out", "no answer in time"),
        ("name or service not known", "no such host"),
        ("failed to resolve", "no such host"),
        ("nodename nor servname", "no such host"),
        ("certificate", "its certificate is not trusted"),
        ("refused", "connection refused"),
        ("reset", "connection reset"),
        ("incomplete", "cut off"),
    ):
        if fragment in text:
            return name
    return type(error).__name__


Result = TypeVar("Result")


class TransientError(Exception):
    """The other side failed in a way that passes; `retry_after` is the wait in seconds that it asked for."""

    def __init__(self, reason: str, retry_after: float | None = None):
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(frozen=True)
class RetryPolicy:
    """Say how often and how long to try. Waits double, each between half and the whole of its length (AWS, 2015,
    "Exponential backoff and jitter"), so that many tasks do not come back at the same moment.
    """

    tries: int = 6
    first_wait: float = 0.4  # seconds
    max_wait: float = 15.0
    deadline_seconds: float = 120.0  # seconds from the first try, after which no other is begun

    def call(
        self,
        function: Callable[[], Result],
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> Result:
        """Give the answer of `ask`, or raise its last PassingError. Other errors come through at once."""
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
        """Give the seconds to wait after try `number`; never less than the other side asked for."""
        full = min(self.max_wait, self.first_wait * 2 ** (attempt - 1))
        return (retry_after or 0.0) + full * random.uniform(0.5, 1.0)

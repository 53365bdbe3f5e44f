"""Ask again what may be answered the next time: with growing, jittered waits, up to a number of tries and a time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Answer = TypeVar("Answer")


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
        ask: Callable[[], Answer],
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> Answer:
        """Give the answer of `ask`, or raise its last PassingError. Other errors come through at once."""
        start = clock()
        for number in range(1, self.tries + 1):
            try:
                return ask()
            except TransientError as error:
                wait = self.wait(number, error.retry_after)
                if number == self.tries or clock() - start + wait > self.deadline_seconds:
                    raise TransientError(f"{error}, {number} times in {clock() - start:.0f} s") from error
                sleep(wait)
        raise AssertionError("tries is at least 1")

    def wait(self, number: int, retry_after: float | None = None) -> float:
        """Give the seconds to wait after try `number`; never less than the other side asked for."""
        full = min(self.max_wait, self.first_wait * 2 ** (number - 1))
        return (retry_after or 0.0) + full * random.uniform(0.5, 1.0)

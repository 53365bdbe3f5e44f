"""Waits, tries and deadlines of retries, on a clock that only the test advances."""

from __future__ import annotations

import pytest

from pipelines.azure.retry import RetryPolicy, TransientError


class Clock:
    """A clock that sleeping moves; it keeps what was slept."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)

    def __call__(self) -> float:
        return self.now


def failing(times: int, retry_after: float | None = None):
    """Return a function that fails a number of times and then returns the number of its calls."""
    asked = []

    def ask() -> int:
        asked.append(1)
        if len(asked) <= times:
            raise TransientError("503 Busy", retry_after)
        return len(asked)

    return ask


def test_what_passes_is_asked_again_after_growing_waits():
    clock = Clock()
    assert RetryPolicy(tries=5, first_wait=1, max_wait=3).call(failing(4), sleep=clock.sleep, clock=clock) == 5
    for slept, full in zip(clock.slept, (1, 2, 3, 3), strict=True):
        assert full / 2 <= slept <= full


def test_waits_differ_between_tasks():
    assert len({RetryPolicy().wait_seconds(3) for _ in range(20)}) == 20


def test_the_other_side_is_left_alone_for_as_long_as_it_asks():
    clock = Clock()
    RetryPolicy(first_wait=0.1).call(failing(1, retry_after=7), sleep=clock.sleep, clock=clock)
    assert 7.05 <= clock.slept[0] <= 7.1


def test_what_does_not_recover_is_reported_with_the_number_of_tries():
    clock = Clock()
    with pytest.raises(TransientError, match="503 Busy, 3 times in"):
        RetryPolicy(tries=3).call(failing(9), sleep=clock.sleep, clock=clock)
    assert len(clock.slept) == 2


def test_no_try_is_begun_after_the_limit():
    clock = Clock()
    with pytest.raises(TransientError, match="503 Busy, 2 times in"):
        RetryPolicy(tries=9, deadline_seconds=30).call(failing(9, retry_after=20), sleep=clock.sleep, clock=clock)
    assert clock.now <= 30


def test_other_errors_come_through_at_once():
    def ask() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        RetryPolicy().call(ask)

from __future__ import annotations

import threading
import time

import pytest

from pipelines.backbones.prefetch import prefetch_map


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_results_keep_the_order_whichever_is_ready_first(threads: int) -> None:
    def work(number: int) -> int:
        time.sleep(0.02 if number % 3 == 0 else 0)
        return number * number

    with prefetch_map(work, iter(range(20)), threads, 6) as made:
        assert list(made) == [number * number for number in range(20)]


def test_no_more_is_read_ahead_than_allowed() -> None:
    read: list[int] = []

    def source():  # type: ignore[no-untyped-def]
        for number in range(100):
            read.append(number)
            yield number

    with prefetch_map(lambda number: number, source(), 2, 5) as made:
        assert next(made) == 0
        assert len(read) <= 6
    assert len(read) <= 6


def test_work_overlaps_on_threads() -> None:
    both = threading.Barrier(2)  # passes only if two are under way at once
    with prefetch_map(lambda _: both.wait(), range(2), 2, 2) as made:
        assert sorted(made) == [0, 1]


def test_an_error_reaches_the_consumer() -> None:
    with prefetch_map(lambda number: 1 // number, [1, 0], 2, 2) as made:
        assert next(made) == 1
        with pytest.raises(ZeroDivisionError):
            next(made)

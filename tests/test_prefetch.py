"""A bounded number of results is computed ahead, in order or as they finish."""

from __future__ import annotations

import threading
import time

import pytest

from pipelines.prefetch import prefetch_map


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


def test_out_of_order_a_stalled_item_blocks_none_after_it() -> None:
    others = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            others.wait(60)
        return number

    with prefetch_map(work, range(6), 2, 4, in_order=False) as made:
        results = [next(made) for _ in range(5)]
        others.set()
        assert sorted(results) == [1, 2, 3, 4, 5] and list(made) == [0]


def test_the_items_ahead_are_bounded_by_their_size_too() -> None:
    running, most = set[int](), 0
    guard = threading.Lock()
    sizes = [1, 3, 2, 9, 1, 4]  # the one of 9 runs alone

    def work(place: int) -> int:
        nonlocal most
        with guard:
            running.add(place)
            most = max(most, sum(sizes[i] for i in running) if 3 not in running else len(running))
        time.sleep(0.01)
        with guard:
            running.discard(place)
        return place

    with prefetch_map(work, range(6), 4, 6, size=lambda place: sizes[place], max_size=5) as made:
        assert list(made) == list(range(6))
    assert most <= 5


def test_the_next_item_is_submitted_before_the_consumer_gets_a_result() -> None:
    started = [threading.Event() for _ in range(3)]

    def work(number: int) -> None:
        started[number].set()

    with prefetch_map(work, range(3), 1, 1) as made:
        next(made)
        assert started[1].wait(60) and not started[2].is_set()

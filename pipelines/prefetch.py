"""Map a function over items ahead of the consumer, on threads, with a bounded buffer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from math import inf
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def prefetch_map(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int,
    depth: int,
    *,
    in_order: bool = True,
    size: Callable[[Item], float] = lambda item: 0,
    max_size: float = inf,
) -> Iterator[Iterator[Result]]:
    """Yield an iterator over `work(item)`; with threads, up to `depth` results are computed ahead.

    The items computed ahead have a total `size` of at most `max_size`, or are a single one. Unless `in_order`, results
    come as they finish, so that a stalled item blocks none after it. Without threads, each result is computed when it
    is requested. `items` is read in the caller's thread only.
    """
    if not threads:
        yield map(work, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        running: dict[Future[Result], float] = {}

        def has_room(item: Item) -> bool:
            return not running or (len(running) < depth and sum(running.values()) + size(item) <= max_size)

        def iter_results() -> Iterator[Result]:
            for item in items:
                finished = list[Result]()
                while not has_room(item):
                    yield from finished
                    finished = [_pop_result(running, in_order)]
                running[pool.submit(work, item)] = size(item)  # before the consumer works on the result
                yield from finished
            while running:
                yield _pop_result(running, in_order)

        try:
            yield iter_results()
        finally:
            for future in running:
                future.cancel()


def _pop_result(running: dict[Future[Result], float], in_order: bool) -> Result:
    """Remove the oldest future, or the oldest finished one, and return its result; wait for it if necessary."""
    if in_order:
        future = next(iter(running))
    else:
        if not any(future.done() for future in running):
            wait(running, return_when=FIRST_COMPLETED)
        future = next(future for future in running if future.done())
    del running[future]
    return future.result()

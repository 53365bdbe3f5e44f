"""Map a function over items ahead of the consumer, on threads, in order, with a bounded buffer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def prefetch_map(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int, depth: int
) -> Iterator[Iterator[Result]]:
    """Yield an iterator over `work(item)`, in order; with threads, up to `depth` results are computed ahead.

    Without threads, each result is computed when it is requested. `items` is read in the caller's thread only.
    """
    if not threads:
        yield map(work, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[Result]] = deque()

        def iter_results() -> Iterator[Result]:
            source = iter(items)
            pending.extend(pool.submit(work, item) for item in islice(source, depth))
            while pending:
                result = pending.popleft().result()
                pending.extend(pool.submit(work, item) for item in islice(source, 1))
                yield result

        try:
            yield iter_results()
        finally:
            for future in pending:
                future.cancel()

"""Do work ahead of who asks for it, on threads, in order and with a bound on what waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


@contextmanager
def prefetch_map(
    work: Callable[[Given], Made], given: Iterable[Given], threads: int, depth: int
) -> Iterator[Iterator[Made]]:
    """Give what `work` makes of each, in order; with threads, up to `depth` are begun before they are asked for.

    Without threads, each is made when it is asked for. `given` is only read in the caller's thread.
    """
    if not threads:
        yield map(work, given)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Made]] = deque()

        def made() -> Iterator[Made]:
            source = iter(given)
            waiting.extend(pool.submit(work, each) for each in islice(source, depth))
            while waiting:
                done = waiting.popleft().result()
                waiting.extend(pool.submit(work, each) for each in islice(source, 1))
                yield done

        try:
            yield made()
        finally:
            for each in waiting:
                each.cancel()

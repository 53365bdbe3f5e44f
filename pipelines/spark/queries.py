"""Run independent queries at once: planning a small query takes longer than running it, and keeps one core busy."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pyspark import inheritable_thread_target

AT_ONCE = 4


def run_together(*queries: Callable[[], Any]) -> list[Any]:
    """Return the results of the queries, in their order; raise the first of their errors once all have ended.

    They belong to the job group of the calling thread, so that what cancels it cancels them too.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = [pool.submit(inheritable_thread_target(query)) for query in queries]
    return [result.result() for result in results]

"""Start Spark once, from whichever thread needs it first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

Session = TypeVar("Session")


def start_once(start: Callable[[], Session]) -> Callable[[], Session]:
    """Return a function that calls `start` the first time and returns its result ever after; other threads wait.

    If `start` raises an error, the next call tries again. Call the function before importing what needs Spark: to start
    Java, this process forks, which can block forever while another thread imports such modules
    (`pipelines.spark.launch.java_forked`). All threads of the review page get Spark here, so that none of them does.
    """
    lock = threading.Lock()
    sessions: list[Session] = []

    def get() -> Session:
        with lock:
            if not sessions:
                sessions.append(start())
            return sessions[0]

    return get

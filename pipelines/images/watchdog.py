"""Limit the time per image by ending this process: no thread can stop a decoder in native code.

For processes only whose work is retried with each image in a child process (see `subprocess_decoder`).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

Result = TypeVar("Result")

EXIT_CODE = 75  # EX_TEMPFAIL
_CHECK_SECONDS = 1.0  # between two checks of the deadlines


class _Watchdog:
    """A thread that ends this process after a deadline; `deadlines` are by thread."""

    def __init__(self) -> None:
        self.deadlines: dict[int, float] = {}
        self._limits: list[float] = []
        self._lock = threading.Lock()  # of the limits and the timer, which belongs to others while there are none
        if sys.platform != "win32" and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the parent process may ignore it
        threading.Thread(target=self._run, name="irbis-watchdog", daemon=True).start()

    def _run(self) -> None:
        if sys.platform != "win32":
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
        while True:
            time.sleep(_CHECK_SECONDS)
            if any(deadline < time.monotonic() for deadline in list(self.deadlines.values())):
                self._end_process()
            with self._lock:
                if self._limits:
                    self._arm()

    def _end_process(self) -> None:
        _set_timer(_CHECK_SECONDS)  # the message blocks if nobody reads stderr
        try:
            print("irbis: an image took longer than images.max_seconds; this worker ends.", file=sys.stderr, flush=True)
        finally:
            os._exit(EXIT_CODE)

    def _arm(self) -> None:
        """Postpone the timer that ends this process without this thread."""
        _set_timer(max(self._limits) + 2 * _CHECK_SECONDS if self._limits else 0)

    @contextmanager
    def watch(self, seconds: float) -> Iterator[None]:
        """Keep the timer for a limit of `seconds` in the block."""
        with self._lock:
            self._limits.append(seconds)
            self._arm()
        try:
            yield
        finally:
            with self._lock:
                self._limits.remove(seconds)
                self._arm()


def _set_timer(seconds: float) -> None:
    """Have the kernel end this process by SIGALRM after `seconds`, 0 for never.

    Nothing in this process can block it: neither a decoder that never releases the GIL, nor a stderr that nobody reads.
    """
    if sys.platform != "win32":  # Windows has no such timer: only the thread ends the process
        signal.setitimer(signal.ITIMER_REAL, seconds)


@cache
def _get_watchdog() -> _Watchdog:
    return _Watchdog()


@contextmanager
def limit_time(read: Callable[[Any], Result], seconds: float) -> Iterator[Callable[[Any], Result]]:
    """Yield `read`, which ends this process if a call takes longer than `seconds`, at most three seconds late."""
    watchdog = _get_watchdog()

    def read_with_deadline(content: Any) -> Result:
        thread = threading.get_ident()
        watchdog.deadlines[thread] = time.monotonic() + seconds
        try:
            return read(content)
        finally:
            del watchdog.deadlines[thread]

    with watchdog.watch(seconds):
        yield read_with_deadline

"""Limit the time per image by ending this process: no thread can stop a decoder in native code.

For processes only whose work is retried with each image in a child process (see `subprocess_decoder`).
"""

from __future__ import annotations

import faulthandler
import os
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
    """A thread that ends this process after a deadline: `deadlines` by thread, `limits` of the active readers."""

    def __init__(self) -> None:
        self.deadlines: dict[int, float] = {}
        self.limits: list[float] = []
        threading.Thread(target=self._run, name="irbis-watchdog", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(_CHECK_SECONDS)
            if any(deadline < time.monotonic() for deadline in list(self.deadlines.values())):
                print("irbis: an image took longer than images.max_seconds; this worker ends.", file=sys.stderr)
                sys.stderr.flush()
                os._exit(EXIT_CODE)
            self.arm()

    def arm(self) -> None:
        """Postpone the timer of faulthandler, which ends this process without Python.

        A decoder that never releases the GIL blocks this thread, but not the timer.
        """
        if limits := list(self.limits):
            faulthandler.dump_traceback_later(max(limits) + 2 * _CHECK_SECONDS, exit=True, file=2)
        else:
            faulthandler.cancel_dump_traceback_later()


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

    watchdog.limits.append(seconds)
    watchdog.arm()
    try:
        yield read_with_deadline
    finally:
        watchdog.limits.remove(seconds)
        watchdog.arm()

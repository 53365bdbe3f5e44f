"""A limit on the time that one image takes, which ends this process: no thread can end a decoder in native code.

Only a process whose work is then tried again, with each image in a process of its own (see `isolated`), may use it.
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

Made = TypeVar("Made")

EXIT_CODE = 75  # EX_TEMPFAIL
_PAUSE = 1.0  # seconds between two looks at what is being read


class _Watch:
    """Look after the images that this process is reading: `deadlines` by thread, `limits` of who may read some."""

    def __init__(self) -> None:
        self.deadlines: dict[int, float] = {}
        self.limits: list[float] = []
        threading.Thread(target=self._run, name="irbis-watchdog", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(_PAUSE)
            if any(deadline < time.monotonic() for deadline in list(self.deadlines.values())):
                print("irbis: an image took longer than images.max_seconds; this worker ends.", file=sys.stderr)
                sys.stderr.flush()
                os._exit(EXIT_CODE)
            self.arm()

    def arm(self) -> None:
        """Put off the end by a timer that is none of Python's.

        A decoder that never lets go of the interpreter's lock keeps this thread from its next look, but not the timer.
        """
        if limits := list(self.limits):
            faulthandler.dump_traceback_later(max(limits) + 2 * _PAUSE, exit=True, file=2)
        else:
            faulthandler.cancel_dump_traceback_later()


@cache
def _watch() -> _Watch:
    return _Watch()


@contextmanager
def time_limited(read: Callable[[Any], Made], seconds: float) -> Iterator[Callable[[Any], Made]]:
    """Yield `read`, which ends this process if one call takes longer, three seconds late at most."""
    watch = _watch()

    def reading(content: Any) -> Made:
        thread = threading.get_ident()
        watch.deadlines[thread] = time.monotonic() + seconds
        try:
            return read(content)
        finally:
            del watch.deadlines[thread]

    watch.limits.append(seconds)
    watch.arm()
    try:
        yield reading
    finally:
        watch.limits.remove(seconds)
        watch.arm()

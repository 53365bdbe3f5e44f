"""Silence for Pillow's warnings, in this thread and only while an image is being read.

`warnings.catch_warnings` swaps the filters of the whole process and is not safe between threads. One filter
stays installed instead, whose message pattern matches only in threads that are reading an image: other
users of Pillow, and other threads, hear their warnings as before, and nothing is set up per image.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

_thread = threading.local()


class _WhileReading:
    """Stand where the warnings module keeps a compiled pattern."""

    def match(self, text: str) -> bool:
        return bool(getattr(_thread, "depth", 0))


_FILTER: Any = ("ignore", _WhileReading(), Warning, re.compile(r"PIL\."), 0)


@contextmanager
def suppress_pillow_warnings() -> Iterator[None]:
    """Ignore what modules of Pillow warn of inside the block, in this thread."""
    if _FILTER not in warnings.filters:  # first use, or someone has reset the filters
        cast("list[Any]", warnings.filters).insert(0, _FILTER)
    _thread.depth = getattr(_thread, "depth", 0) + 1
    try:
        yield
    finally:
        _thread.depth -= 1

"""Suppress Pillow's warnings in the current thread, only while it reads an image.

`warnings.catch_warnings` replaces the filters of the whole process and is not thread-safe. Instead, one filter
stays installed whose message pattern matches only in threads that are reading an image: other users of Pillow
and other threads get their warnings as before, and nothing is set up per image.
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
    """A substitute for a compiled message pattern, which matches only while this thread reads an image."""

    def match(self, text: str) -> bool:
        return bool(getattr(_thread, "depth", 0))


_FILTER: Any = ("ignore", _WhileReading(), Warning, re.compile(r"PIL\."), 0)


@contextmanager
def suppress_pillow_warnings() -> Iterator[None]:
    """Ignore the warnings of Pillow's modules inside the block, in this thread."""
    if _FILTER not in warnings.filters:  # first use, or the filters were reset
        cast("list[Any]", warnings.filters).insert(0, _FILTER)
    _thread.depth = getattr(_thread, "depth", 0) + 1
    try:
        yield
    finally:
        _thread.depth -= 1

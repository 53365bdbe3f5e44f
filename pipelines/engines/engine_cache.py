"""A few engines that a process keeps, each built once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

MAX_ENGINES = 2  # in a cache
Key = TypeVar("Key", bound=Hashable)
Built = TypeVar("Built")


def get_or_build(engines: dict[Key, Built], key: Key, build: Callable[[], Built]) -> Built:
    """Return the engine of a key; it is built if it is not there, in place of the oldest if there are MAX_ENGINES."""
    if key not in engines:
        while len(engines) >= MAX_ENGINES:
            engines.pop(next(iter(engines)))
        engines[key] = build()
    return engines[key]

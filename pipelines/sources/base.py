"""The interface of a source of images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from pipelines.schemas import SourceFile


class Source(Protocol):
    """A source that lists and reads images. It is sent to the executors, so it must pickle.

    `problems` collects, while listing, a sentence for each file that could not be listed.
    """

    problems: list[str]

    @property
    def root(self) -> str:
        """Return the common prefix of all paths."""

    def list(self) -> Iterator[SourceFile]:
        """Yield every file, of any kind."""

    def peek(self, path: str) -> bytes:
        """Return the first bytes of a file, to detect its format; empty where that would cost a request."""

    def fetch(self, path: str, etag: str) -> bytes:
        """Return the bytes of the listed version, or raise ImageError. Called by many threads at once."""

    def read_file(self, address: str) -> bytes:
        """Return the bytes of another file in the same store, such as a labels file, or raise DataError."""

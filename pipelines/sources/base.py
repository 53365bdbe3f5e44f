"""What a place of images must be able to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from pipelines.schemas import SourceFile


class Source(Protocol):
    """A place that lists and hands out images; travels to the executors, so it must pickle.

    `problems` collects, while listing, sentences on what could not be listed.
    """

    problems: list[str]

    @property
    def root(self) -> str:
        """The beginning of every path."""

    def list(self) -> Iterator[SourceFile]:
        """Give every file, of whatever kind."""

    def peek(self, path: str) -> bytes:
        """Return the first bytes of a file, to see its format; none where that costs a request."""

    def fetch(self, path: str, etag: str) -> bytes:
        """Give the bytes of the version that was listed, or raise ImageError. Called by many threads at once."""

    def read_file(self, address: str) -> bytes:
        """Give the bytes of a file that stands beside the images, such as their labels, or raise DataError."""

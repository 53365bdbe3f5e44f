"""The images and predictions that the page shows, as columns: rows are images, sorted by burst and time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.review.columns import Coded, Ints
from pipelines.review.model_scores import Floats, Model


@dataclass(frozen=True)
class Bursts:
    """One element per burst; `starts` has one more, the number of rows."""

    ids: pa.Array
    starts: Ints
    best: Ints  # the row that decided: the highest probability of the burst's prediction
    groups: NDArray[np.int32]
    times: Ints
    is_readable: NDArray[np.bool_]  # at least one frame
    is_labelled: NDArray[np.bool_]  # every readable frame has a label from the source
    is_scored: NDArray[np.bool_]
    needs_review: NDArray[np.bool_]
    margin: Floats
    sought: Floats  # probability of any class of interest
    order: NDArray[np.uint64]  # a hash of the id: a random order that stays

    def __len__(self) -> int:
        return len(self.best)


@dataclass(frozen=True)
class Snapshot:
    """Current images that have bytes; one element of each column per row."""

    paths: pa.Array
    hashes: NDArray[np.bytes_]
    labels: Coded
    stations: Coded
    times: Ints
    groups: Coded
    failures: Coded
    predictions: Coded
    scores: NDArray[np.float64]
    burst_predictions: Coded
    burst_scores: NDArray[np.float64]
    burst_of: NDArray[np.int32]
    holders: Ints  # row of the table images, as it was read, with the bytes; -1: none
    bursts: Bursts
    model: Model | None

    def __len__(self) -> int:
        return len(self.hashes)

    @cached_property
    def _by_hash(self) -> Ints:
        return np.argsort(self.hashes, kind="stable")

    @cached_property
    def _sorted_hashes(self) -> NDArray[np.bytes_]:
        return self.hashes[self._by_hash]

    def rows_of(self, content_hash: str) -> Ints:
        """Return the rows with this content."""
        key = np.bytes_(content_hash.encode())
        first, last = (np.searchsorted(self._sorted_hashes, key, side=side) for side in ("left", "right"))
        return self._by_hash[first:last]

    @cached_property
    def _burst_order(self) -> Ints:
        return np.argsort(self.bursts.order)

    def find_burst(self, burst_id: str) -> int:
        """Return the number of a burst; -1 if there is none with this id."""
        wanted = hash_text(burst_id)
        hashes = self.bursts.order
        first = int(np.searchsorted(hashes, wanted, sorter=self._burst_order))
        for position in range(first, len(self.bursts)):
            number = int(self._burst_order[position])
            if hashes[number] != wanted:
                break
            if self.bursts.ids[number].as_py() == burst_id:
                return number
        return -1

    def frames(self, burst: int) -> range:
        """Return the rows of a burst."""
        return range(int(self.bursts.starts[burst]), int(self.bursts.starts[burst + 1]))

    def readable_frames(self, burst: int) -> list[int]:
        """Return the rows of a burst that could be decoded."""
        return [row for row in self.frames(burst) if self.failures.codes[row] < 0]


def hash_text(text: str) -> np.uint64:
    """Return a number that looks random and is always the same for a text."""
    return np.uint64(int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big"))

"""Read the stored bytes of single images from the files of a local table images."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.review.columns import Ints
from pipelines.review.thumbnails import gone

ReadBytes = Callable[[int, Iterable[int]], bytes]  # row of the snapshot, those that are wanted next -> the stored file
MAX_CACHED_BYTES = 96 * 2**20  # of row groups: neighbours in a burst are often neighbours in a file
BATCH = 16  # rows read at once from a row group that is too large to keep


class StoredBytes:
    """Reads the file of a row; row groups of up to a third of the cache are kept for their neighbours."""

    def __init__(self, files: tuple[str, ...], file_of: NDArray[np.int32], row_in_file: Ints, holders: Ints) -> None:
        self._files = files
        self._file_of, self._row_in_file, self._holders = file_of, row_in_file, holders
        self._cache: OrderedDict[tuple[int, int], pa.Array] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, row: int, ahead: Iterable[int] = ()) -> bytes:
        """Return the stored file of a row of the snapshot. Raises ImageError if a cleanup has removed it."""
        holder = int(self._holders[row])
        file, number = int(self._file_of[holder]), int(self._row_in_file[holder])
        try:
            starts = _row_group_starts(self._files[file])
            group = int(np.searchsorted(starts, number, side="right")) - 1
            value = self._read_from_group(file, group, number - int(starts[group]))
        except (OSError, pa.ArrowInvalid, IndexError) as error:
            raise gone() from error
        if value is None:
            raise gone()
        return value

    def _read_from_group(self, file: int, group: int, number: int) -> bytes | None:
        with self._lock:
            column = self._cache.get((file, group))
            if column is not None:
                self._cache.move_to_end((file, group))
        if column is None:
            with pq.ParquetFile(self._files[file]) as parquet:
                metadata = parquet.metadata.row_group(group)
                if metadata.total_byte_size > MAX_CACHED_BYTES // 3:
                    return _read_in_batches(parquet, group, number)
                column = parquet.read_row_group(group, columns=["content"], use_threads=False)["content"]
            self._keep((file, group), column)
        value = column[number].as_py()
        return None if value is None else bytes(value)

    def _keep(self, key: tuple[int, int], column: pa.ChunkedArray) -> None:
        with self._lock:
            self._cache[key] = column
            while sum(each.nbytes for each in self._cache.values()) > MAX_CACHED_BYTES and len(self._cache) > 1:
                self._cache.popitem(last=False)


def _read_in_batches(parquet: pq.ParquetFile, group: int, number: int) -> bytes | None:
    batches = parquet.iter_batches(BATCH, row_groups=[group], columns=["content"], use_threads=False)
    for i, batch in enumerate(batches):
        if number < (i + 1) * BATCH:
            value = batch["content"][number - i * BATCH].as_py()
            return None if value is None else bytes(value)
    return None


@lru_cache(maxsize=4096)
def _row_group_starts(file: str) -> Ints:
    with pq.ParquetFile(file) as parquet:
        metadata = parquet.metadata
        counts = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    return np.cumsum([0, *counts[:-1]])

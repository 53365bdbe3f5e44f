"""Columns of many rows, as NumPy and Arrow arrays: no Python object per row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Ints = NDArray[np.int64]
NO_TIME = np.iinfo(np.int64).min
HASH_BYTES = 64  # of a SHA-256 in hexadecimal
SEPARATOR = "\n"  # in no path that a source lists with a hash after it


@dataclass(frozen=True)
class Coded:
    """A column of text as numbers: `codes[row]` is an index into `names`, -1 for null."""

    codes: NDArray[np.int32]
    names: pa.Array

    def text(self, row: int) -> str | None:
        """Return the text of a row."""
        code = int(self.codes[row])
        return None if code < 0 else str(self.names[code])

    def take(self, rows: Ints) -> Coded:
        return Coded(self.codes[rows], self.names)

    def find(self, text: str) -> int:
        """Return the code of a text; -2, which no row has, if it is not among the names."""
        code = pc.index(self.names, text).as_py()
        return code if code >= 0 else -2


def encode(column: pa.ChunkedArray | pa.Array) -> Coded:
    """Return a column of text as numbers."""
    array = flatten(column)
    if pa.types.is_null(array.type):
        array = array.cast(pa.string())
    encoded = array.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    return Coded(codes, encoded.dictionary)


def flatten(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column in one piece."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def to_micros(column: pa.ChunkedArray | pa.Array) -> Ints:
    """Return times as microseconds since 1970; NO_TIME for null."""
    array = flatten(column)
    if pa.types.is_null(array.type):
        return np.full(len(array), NO_TIME)
    micros = array.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    return np.asarray(micros.fill_null(NO_TIME).to_numpy(zero_copy_only=False), dtype=np.int64)


def to_hashes(column: pa.ChunkedArray | pa.Array) -> NDArray[np.bytes_]:
    """Return content hashes as bytes of fixed length; empty for null."""
    values = flatten(column).cast(pa.binary()).fill_null(b"")
    return np.array(values.to_numpy(zero_copy_only=False), dtype=f"S{HASH_BYTES}")


def join_keys(first: pa.Array, second: pa.Array) -> pa.Array:
    """Return the two columns as one key."""
    return pc.binary_join_element_wise(
        flatten(first), flatten(second), SEPARATOR, null_handling="replace", null_replacement=""
    )


def newest_rows(keys: pa.Array, times: Ints) -> Ints:
    """Return the row with the highest time of each key."""
    if not len(keys):
        return np.zeros(0, np.int64)
    codes = encode(keys).codes
    order = np.lexsort((times, codes))
    is_last = np.append(np.diff(codes[order]) != 0, True)
    return np.asarray(order[is_last])


def find_rows(keys: pa.Array, among: pa.Array) -> Ints:
    """Return the row of each key among unique keys; -1 if it is not there."""
    found = pc.index_in(keys, value_set=among).fill_null(-1)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)


def rank_within(groups: NDArray[np.int32] | Ints) -> Ints:
    """Return of each element how many earlier elements have the same group."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.append(True, np.diff(ordered) != 0)) if len(groups) else np.zeros(0, np.int64)
    lengths = np.diff(np.append(starts, len(groups)))
    ranks = np.empty(len(groups), np.int64)
    ranks[order] = np.arange(len(groups)) - np.repeat(starts, lengths)
    return ranks

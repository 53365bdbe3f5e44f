"""Read local Delta tables without Spark, which takes seconds to start: for `irbis review`.

The package deltalake (extra `review`) reads the transaction log; the files are read with pyarrow, column by column, so
that the bytes of images are not touched until one of them is asked for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

READER_VERSION = 1  # a higher one may use deletion vectors or column mapping, which only Spark reads
THREADS = 4
COMMIT_FILE = re.compile(r"(\d{20})\.(json|checkpoint\..*)$")
INT96_UNIT = "us"  # of timestamps as Spark writes them; as nanoseconds they end in 2262
TIMESTAMP = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class LocalTable:
    """A snapshot of a local table: its files, and its version."""

    files: tuple[str, ...]
    version: int

    def read(self, columns: Sequence[str], equal: Mapping[str, str] | None = None) -> pa.Table:
        """Return columns of all rows in the order of `files`, or of those with these values in columns of text.

        Timestamps are in UTC. A column that a file lacks, as an earlier version wrote it, is null.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            parts = list(pool.map(lambda file: _read_columns(file, columns, equal or {}), self.files))
        if not parts:
            return pa.table({name: pa.nulls(0) for name in columns})
        return pa.concat_tables(parts, promote_options="permissive").combine_chunks()

    def locate(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return of each row that `read` returns its file (an index into `files`) and its number in that file."""
        counts = [pq.read_metadata(file).num_rows for file in self.files]
        numbers = [np.arange(count, dtype=np.int64) for count in counts]
        files = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        return files, np.concatenate([np.zeros(0, np.int64), *numbers])


def open_local(folder: str) -> LocalTable | None:
    """Return the newest snapshot of a table; None if there is no table. Raises NotImplementedError if it needs Spark.

    Raises ImportError without the package deltalake.
    """
    if not Path(folder, "_delta_log").is_dir():
        return None
    if "%" in folder:  # deltalake takes it for an escaped character, and would read another folder
        raise NotImplementedError(f"{folder} contains %")
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        table = DeltaTable(folder)
        required = table.protocol().min_reader_version
        if required > READER_VERSION:
            raise NotImplementedError(f"{folder} needs a reader of version {required}")
        # deltalake escapes the folder's name in some characters; irbis's tables have all files in one folder.
        files = tuple(f"{folder}/{unquote(uri).rpartition('/')[2]}" for uri in table.file_uris())
        if missing := [file for file in files if not Path(file).is_file()]:
            raise NotImplementedError(f"{missing[0]} is in another folder")
        return LocalTable(files, table.version())
    except DeltaError as error:
        raise NotImplementedError(f"{folder}: {error}") from error


def last_local_commit(folder: Path) -> int | None:
    """Return the number of the last commit of a table in a local folder; null if there is none."""
    try:
        files = os.listdir(folder / "_delta_log")
    except FileNotFoundError:
        return None
    return max((int(match[1]) for file in files if (match := COMMIT_FILE.match(file))), default=None)


def _read_columns(file: str, columns: Sequence[str], equal: Mapping[str, str]) -> pa.Table:
    with pq.ParquetFile(file, coerce_int96_timestamp_unit=INT96_UNIT) as parquet:
        present = parquet.schema_arrow.names
        wanted = list(dict.fromkeys([*columns, *equal]))
        table = parquet.read([name for name in wanted if name in present], use_threads=False)
        rows = parquet.metadata.num_rows
    arrays = [table[name] if name in present else pa.nulls(rows) for name in wanted]
    table = pa.table([_to_utc(array) for array in arrays], names=wanted)
    for name, value in equal.items():
        table = table.filter(pc.equal(table[name].cast(pa.string()), value))
    return table.select(list(columns))


def _to_utc(array: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    return array.cast(TIMESTAMP) if pa.types.is_timestamp(array.type) else array

"""Read what the page shows with Spark: tables in a cloud workspace or a catalog, and those that only Spark can read."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F

from pipelines.review.build_snapshot import IMAGE_COLUMNS, LABEL_COLUMNS, PREDICTION_COLUMNS
from pipelines.review.snapshot import Snapshot
from pipelines.review.stored_bytes import ReadBytes
from pipelines.review.thumbnails import gone
from pipelines.spark.arrow import collect_arrow
from pipelines.tracking.model_version import ModelVersion
from pipelines.workspace.tables import Tables, ingested_since

UTC = pa.timestamp("us", tz="UTC")
MAX_BYTES, MAX_ROWS = 64 * 2**20, 200  # of images in one query, and held for those who will ask for them


class SparkSource:
    """Tables read with Spark."""

    def __init__(self, tables: Tables, note: str) -> None:
        tables.require("images")
        self._tables, self.note = tables, note
        self._images: pa.Table | None = None

    def images(self) -> pa.Table:
        self._images = _collect(self._tables, "images", (*IMAGE_COLUMNS, "size"))
        return self._images

    def predictions(self, version: ModelVersion) -> pa.Table | None:
        same = (F.col("model_name") == version.name) & (F.col("model_version") == version.version)
        return _collect(self._tables, "predictions", PREDICTION_COLUMNS, same)

    def labels(self) -> pa.Table | None:
        return _collect(self._tables, "labels", LABEL_COLUMNS)

    def reader(self, snapshot: Snapshot) -> ReadBytes:
        images = self._images
        assert images is not None
        held = images.select(["path", "ingested_at", "size"]).take(pa.array(snapshot.holders))
        return SparkBytes(self._tables, held).read


class SparkBytes:
    """Reads the bytes of images with Spark: one query for an image and those that are wanted next.

    `held` has path, ingested_at and size of the row with the bytes of each row of the snapshot.
    """

    def __init__(self, tables: Tables, held: pa.Table) -> None:
        self._tables, self._held = tables, held
        self._sizes = held["size"].fill_null(0).to_numpy()
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()  # one query at a time: who waits finds the bytes here

    def read(self, row: int, ahead: Iterable[int] = ()) -> bytes:
        """Return the stored file of a row of the snapshot. Raises ImageError if a cleanup has removed it."""
        with self._lock:
            if row not in self._cache:
                self._fetch(self._choose(row, ahead))
            if row not in self._cache:
                raise gone()
            self._cache.move_to_end(row)
            return self._cache[row]

    def _choose(self, row: int, ahead: Iterable[int]) -> list[int]:
        """Return the row, and of those ahead as many as fit."""
        rows = list(dict.fromkeys([row, *(each for each in ahead if each not in self._cache)]))[:MAX_ROWS]
        fits = np.cumsum(self._sizes[rows]) <= MAX_BYTES
        return [each for each, is_small in zip(rows, fits, strict=True) if is_small or each == row]

    def _fetch(self, rows: list[int]) -> None:
        """Add the bytes of rows to the cache, in the place of the oldest ones."""
        held = self._held.take(pa.array(rows))
        paths, moments = held["path"].to_pylist(), held["ingested_at"].to_pylist()
        keys = self._tables.spark.createDataFrame(
            list(zip(rows, paths, moments, strict=True)), "row long, path string, ingested_at timestamp"
        )
        images = self._tables.read("images").where(
            ingested_since(min(moments)) & F.col("path").isin(sorted(set(paths)))
        )
        found = images.join(F.broadcast(keys), ["path", "ingested_at"]).where("content is not null")
        for each in found.select("row", "content").collect():
            self._cache[each["row"]] = bytes(each["content"])
        while sum(map(len, self._cache.values())) > 2 * MAX_BYTES and len(self._cache) > len(rows):
            self._cache.popitem(last=False)


def _collect(tables: Tables, name: str, columns: tuple[str, ...], condition: Column | None = None) -> pa.Table:
    """Return columns of a table; times as those of `local_delta`."""
    rows = tables.read(name)
    batches = collect_arrow((rows if condition is None else rows.where(condition)).select(*columns))
    if not batches:
        return pa.table({column: pa.nulls(0) for column in columns})
    table = pa.Table.from_batches(batches)
    fields = [table[c].cast(UTC) if pa.types.is_timestamp(table[c].type) else table[c] for c in columns]
    return pa.table(fields, names=list(columns)).combine_chunks()

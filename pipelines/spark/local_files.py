"""Write one local file from rows that Spark computes on the executors, in bounded memory.

The executors join the rows of each Arrow batch to a chunk of bytes. The chunks come to the driver one partition at a
time, in the order of the partitions and of the rows in them.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from pipelines.atomic_write import open_atomic
from pipelines.formatting import FORMULA, escape_formula

CHUNKS = "chunk binary, count long"
MAX_PARTITION_BYTES = 32 * 2**20  # of chunks; the driver's JVM holds two partitions at once
ROW_GROUP = 100_000  # rows of a Parquet file
BOM = "\ufeff"


def write_lines(lines: DataFrame, path: Path, header: str = "", footer: str = "", separator: str = "\n") -> int:
    """Write a frame with one column of text, `line`, to a local file atomically; return the number of lines.

    The file is `header`, the lines with the separator between them, and `footer`. Lines keep their order; no line may
    be null.
    """

    def join(batch: pa.RecordBatch) -> bytes:
        texts = batch.column(0)
        if texts.null_count:
            raise ValueError(f"{texts.null_count} lines of {path.name} are null")
        return separator.join(texts.to_pylist()).encode()

    count, between = 0, separator.encode()
    with open_atomic(path) as file, closing(_iterate(lines.select("line"), join)) as chunks:
        file.write(header.encode())
        for chunk, size in chunks:
            if count:
                file.write(between)
            file.write(chunk)
            count += size
        file.write(footer.encode())
    return count


def write_csv(rows: DataFrame, path: Path, *, bom: bool = False, escapes_formulas: bool = False) -> int:
    """Write rows of texts, numbers and booleans to a CSV file with a header, atomically; return their number.

    Texts are in quotes, null is empty. `bom`: begin with a byte-order mark, without which Excel does not read UTF-8.
    `escapes_formulas`: put an apostrophe before texts that a spreadsheet would run.
    """

    def to_csv(batch: pa.RecordBatch) -> bytes:
        columns = [escape_formulas(column) if escapes_formulas else column for column in batch.columns]
        target = io.BytesIO()
        options = pa_csv.WriteOptions(include_header=False)
        pa_csv.write_csv(pa.RecordBatch.from_arrays(columns, names=batch.schema.names), target, options)
        return target.getvalue()

    header = io.StringIO()
    csv.writer(header, lineterminator="\n").writerow(rows.columns)
    count = 0
    with open_atomic(path) as file, closing(_iterate(rows, to_csv)) as chunks:
        file.write(((BOM if bom else "") + header.getvalue()).encode())
        for chunk, size in chunks:
            file.write(chunk)
            count += size
    return count


def write_parquet(rows: DataFrame, path: Path) -> int:
    """Write rows to one Parquet file atomically and return their number. Times are stored without a time zone."""

    def to_ipc(batch: pa.RecordBatch) -> bytes:
        target = io.BytesIO()
        with pa.ipc.new_stream(target, batch.schema) as writer:
            writer.write_batch(batch)
        return target.getvalue()

    fields = to_arrow_schema(rows.schema)
    plain = [pa.timestamp("us") if pa.types.is_timestamp(field.type) else field.type for field in fields]
    schema = pa.schema(list(zip(fields.names, plain, strict=True)))
    count = 0
    with (
        open_atomic(path) as file,
        closing(_iterate(rows, to_ipc)) as chunks,
        pq.ParquetWriter(file, schema, compression="snappy") as writer,
    ):
        for table in _group_rows(chunks, schema):
            writer.write_table(table, row_group_size=ROW_GROUP)
            count += table.num_rows
    return count


def escape_formulas(column: pa.Array) -> pa.Array:
    """Put an apostrophe before each text that a spreadsheet would read as a formula, as `escape_formula` does."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    if not pc.any(pc.match_substring_regex(column, f"^{FORMULA}")).as_py():
        return column
    return pa.array(map(escape_formula, column.to_pylist()), column.type)


def _group_rows(chunks: Iterable[tuple[bytes, int]], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield tables of at least ROW_GROUP rows, but for the last: few large row groups are read faster."""
    tables, count = [], 0
    for chunk, size in chunks:
        tables.append(pa.ipc.open_stream(chunk).read_all().cast(schema))
        count += size
        if count >= ROW_GROUP:
            yield pa.concat_tables(tables)
            tables, count = [], 0
    if tables:
        yield pa.concat_tables(tables)


def _iterate(rows: DataFrame, encode: Callable[[pa.RecordBatch], bytes]) -> Generator[tuple[bytes, int], None, None]:
    """Yield the bytes of each batch of rows, and the number of its rows."""

    def encode_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                values = [pa.array([encode(batch)], pa.binary()), pa.array([batch.num_rows], pa.int64())]
                yield pa.RecordBatch.from_arrays(values, names=["chunk", "count"])

    chunks = rows.mapInArrow(encode_batches, CHUNKS).withColumn("id", F.monotonically_increasing_id())
    chunks = chunks.persist(StorageLevel.DISK_ONLY)  # all partitions at once; the driver then reads one after the other
    try:
        sizes = chunks.groupBy(F.spark_partition_id()).agg(F.sum(F.length("chunk")).alias("size"))
        largest, total = sizes.agg(F.max("size"), F.sum("size")).first()
        ordered = chunks
        if (largest or 0) > MAX_PARTITION_BYTES:
            partitions = math.ceil(2 * total / MAX_PARTITION_BYTES)
            ordered = chunks.repartitionByRange(partitions, "id").sortWithinPartitions("id")
        for row in ordered.select("chunk", "count").toLocalIterator(prefetchPartitions=True):
            yield bytes(row["chunk"]), row["count"]
    finally:
        chunks.unpersist()

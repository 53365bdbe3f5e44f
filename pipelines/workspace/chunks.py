"""Split rows into chunks of one commit each."""

from __future__ import annotations

from collections.abc import Iterator

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


def split_into_chunks(rows: DataFrame, total: int, size: int, *order: str) -> Iterator[tuple[DataFrame, int]]:
    """Yield chunks of `size` rows with their counts, in the given order. `rows`: `total` materialized rows."""
    if total <= size:
        yield from [(rows, total)] if total else []
        return
    index = F.row_number().over(Window.orderBy(*order)) - 1
    numbered = rows.withColumn("chunk", F.floor(index / size)).persist()
    try:
        for number in range(-(-total // size)):
            yield numbered.where(F.col("chunk") == number).drop("chunk"), min(size, total - number * size)
    finally:
        numbered.unpersist()

"""Cut rows into what one commit takes."""

from __future__ import annotations

from collections.abc import Iterator

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


def split_into_chunks(rows: DataFrame, total: int, size: int, *order: str) -> Iterator[tuple[DataFrame, int]]:
    """Cut `total` settled rows, in the given order, into what one commit takes: each chunk with its count."""
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

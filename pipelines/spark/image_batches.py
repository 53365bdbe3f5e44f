"""Arrow and Parquet batches of images, sized by the bytes of the images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession

from pipelines.spark.runtime import sql_conf

# Typical and maximum size of an Arrow and of a Parquet batch: a task reads a whole batch before the worker gets its
# first image, but each batch costs the worker a quarter of a millisecond.
_BYTES, _MAX_BYTES, _MAX_ROWS = 4 * 2**20, 32 * 2**20, 256


def rows_per_batch(count: int, size: int | None, largest: int | None) -> int:
    """Return the number of images per batch, by their mean size; all being as large as the largest must fit too.

    `size` and `largest`: bytes of `count` images and of the largest one; null without readable images.
    """
    typical = _BYTES * count // max(1, size or 0)
    return max(1, min(typical, _MAX_BYTES // max(1, largest or 0), _MAX_ROWS))


@contextmanager
def image_batches(spark: SparkSession, rows: int) -> Iterator[None]:
    """Read Parquet and send Arrow in batches of so many rows while the block runs."""
    with sql_conf(
        spark,
        spark__sql__execution__arrow__maxRecordsPerBatch=rows,
        spark__sql__parquet__columnarReaderBatchSize=rows,
    ):
        yield

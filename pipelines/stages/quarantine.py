"""Name the images that ended, or held up, the processes that decoded them."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.schemas import Failure

NAMES = [str(failure) for failure in Failure if failure.is_process_failure]


def quarantine_notes(rows: DataFrame) -> list[str]:
    """Return a sentence on such images among rows of path, failure, failure_detail."""
    first = F.min(F.struct("path", "failure", "failure_detail"))
    count, example = rows.where(F.col("failure").isin(NAMES)).agg(F.count("*"), first).first()
    if not count:
        return []
    images = "1 image is left out: decoding it" if count == 1 else f"{count:,} images are left out: decoding them"
    return [
        f"{images} ended a worker or took too long, first {example['path']} ({example['failure']}: "
        f"{example['failure_detail']}). An image is read again only when its file is another."
    ]

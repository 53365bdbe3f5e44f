"""Images that crashed or blocked the processes that decoded them."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.schemas import Failure

PROCESS_FAILURES = [str(failure) for failure in Failure if failure.is_process_failure]


def quarantine_notes(rows: DataFrame) -> list[str]:
    """Return a note on such images among rows of path, failure, failure_detail."""
    first = F.min(F.struct("path", "failure", "failure_detail"))
    count, example = rows.where(F.col("failure").isin(PROCESS_FAILURES)).agg(F.count("*"), first).first()
    if not count:
        return []
    images = "1 image is left out: decoding it" if count == 1 else f"{count:,} images are left out: decoding them"
    return [
        f"{images} crashed a worker or timed out, first {example['path']} ({example['failure']}: "
        f"{example['failure_detail']}). They are read again only if their files change."
    ]

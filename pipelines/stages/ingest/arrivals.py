"""Queue of new files: the table arrivals, which a stream delivers once per checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.utils import StreamingQueryException

from pipelines.errors import DataError
from pipelines.workspace.tables import Tables


def enqueue(tables: Tables, names: DataFrame) -> None:
    """Append new files of a listing to the table arrivals."""
    tables.append("arrivals", names.withColumn("arrived_at", F.current_timestamp()))


def process_queue(tables: Tables, root: str, process: Callable[[DataFrame], None]) -> None:
    """Call `process` with all files below `root` that were not processed yet, and commit them to the checkpoint.

    A batch is committed after `process` has returned: if it raises or is killed, the same batch is delivered again.
    Its exceptions are raised unchanged.
    """
    if not tables.exists("arrivals"):
        return
    raised: list[Exception] = []

    def batch(rows: DataFrame, number: int) -> None:
        try:
            if names := _latest_names(rows):
                process(names)
        except Exception as error:
            raised.append(error)  # Spark would return only its text
            raise

    checkpoint = checkpoint_path(tables, root)
    arriving = tables.stream("arrivals").where(F.col("path").startswith(root))
    stream = arriving.writeStream.trigger(availableNow=True).option("checkpointLocation", checkpoint)
    try:
        stream.foreachBatch(batch).start().awaitTermination()
    except StreamingQueryException as error:
        if raised:
            raise raised[0] from None
        reason = str(error).splitlines()[0][:300]
        raise DataError(
            f"The stream's checkpoint {checkpoint} does not fit the table arrivals ({reason}). Remove the checkpoint: "
            "images that are in the table images are not read again."
        ) from error


def checkpoint_path(tables: Tables, root: str) -> str:
    """Return the path of the checkpoint of one source's stream."""
    return f"{tables.workspace}/checkpoints/ingest-{hashlib.sha256(root.encode()).hexdigest()[:16]}"


def _latest_names(rows: DataFrame) -> DataFrame | None:
    """Return the last row of every path, checkpointed; None without rows. A killed poll may have queued some twice."""
    newest = Window.partitionBy("path").orderBy(F.desc("arrived_at"))
    names = rows.withColumn("age", F.row_number().over(newest)).where("age = 1").drop("age", "arrived_at")
    names = names.localCheckpoint()
    return names if names.head(1) else None

"""What has arrived at a source: a table of names, which a stream gives out once for every checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.utils import StreamingQueryException

from pipelines.errors import DataError
from pipelines.workspace.tables import Tables


def enqueue(tables: Tables, names: DataFrame) -> None:
    """Write new names, as `list_names` gives them, to the table arrivals."""
    tables.append("arrivals", names.withColumn("arrived_at", F.current_timestamp()))


def process_queue(tables: Tables, root: str, take: Callable[[DataFrame], None]) -> None:
    """Hand all names below `root` that have not been handed out yet to `take`, and note that they were.

    A batch is noted after `take` has come back: if it raises, or is killed, the same batch comes again. What it
    raises comes through.
    """
    if not tables.exists("arrivals"):
        return
    raised: list[Exception] = []

    def batch(rows: DataFrame, number: int) -> None:
        try:
            if names := _latest_names(rows):
                take(names)
        except Exception as error:
            raised.append(error)  # Spark would give it back as text alone
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
            "what is in the table images is not read again."
        ) from error


def checkpoint_path(tables: Tables, root: str) -> str:
    """Say where the stream of one source keeps how far it is."""
    return f"{tables.workspace}/checkpoints/ingest-{hashlib.sha256(root.encode()).hexdigest()[:16]}"


def _latest_names(rows: DataFrame) -> DataFrame | None:
    """Give the last name of every path, settled; null where there is none. A look that was killed says some twice."""
    newest = Window.partitionBy("path").orderBy(F.desc("arrived_at"))
    names = rows.withColumn("age", F.row_number().over(newest)).where("age = 1").drop("age", "arrived_at")
    names = names.localCheckpoint()
    return names if names.head(1) else None

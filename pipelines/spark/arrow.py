"""Collect a DataFrame as Arrow, which neither boxes values nor goes through pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame


def collect_arrow(rows: DataFrame) -> Sequence[pa.RecordBatch]:
    """Return all rows as Arrow record batches; none if there are no rows."""
    reader: Any = getattr(rows, "toArrow", None)  # from Spark 4.0
    if reader is not None:
        return list(reader().to_batches())
    reader = getattr(rows, "_collect_as_arrow", None)  # behind toPandas, in Spark 3
    if reader is not None:
        return [batch for batch in reader() if batch.num_rows]
    return list(pa.Table.from_pandas(rows.toPandas(), preserve_index=False).to_batches())

"""Rows reach the driver as Arrow, in whichever way the session offers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipelines.spark.arrow import collect_arrow

HASHES, FEATURES = ["a", "b"], [[1.0, 2.0], [3.0, 4.0]]
BATCH = pa.record_batch({"content_hash": HASHES, "features": pa.array(FEATURES, pa.list_(pa.float32()))})


class Spark4:
    def toArrow(self):
        return pa.Table.from_batches([BATCH])


class Spark3:
    def _collect_as_arrow(self):
        return [BATCH, BATCH.slice(0, 0)]


class Connect3:
    """Spark Connect before Spark 4 has neither."""

    def toPandas(self):
        return pd.DataFrame({"content_hash": HASHES, "features": [np.float32(each) for each in FEATURES]})


@pytest.mark.parametrize("rows", [Spark4(), Spark3(), Connect3()])
def test_every_session_gives_the_same_batches(rows):
    (batch,) = collect_arrow(rows)
    assert batch.column(0).to_pylist() == HASHES
    assert batch.column(1).flatten().to_numpy().tolist() == [1.0, 2.0, 3.0, 4.0]
    assert batch.column(1).type == pa.list_(pa.float32())

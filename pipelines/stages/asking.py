"""Ask a model about labelled pictures: its answers come to the driver, without the features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.evaluation.answers import Answers
from pipelines.models.classifiers import probabilities

MOST = 200_000  # answers that come to the driver
_STEPS = 1_000_000


def ask(
    model: PipelineModel, rows: DataFrame, classes: Sequence[str], *, among: Sequence[str] | None = None
) -> Answers | None:
    """Give the answers for rows of features, label, burst_id, group_id whose label is in `among`; None without any.

    `classes` are the model's own, in its order; `among` (the same, if not given) may hold more: to those the model
    gives the probability 0. Of more than MOST rows the driver gets about so many, of groups drawn by their hash: what
    is measured on them is as true as on all, and its interval says how wide it may lie.
    """
    among = list(among or classes)
    known = _drawn(rows.where(F.col("label").isin(among)).select("features", "label", "burst_id", "group_id"))
    found = probabilities(model, known).drop("features").toPandas()
    if found.empty:
        return None
    spread = np.zeros((len(found), len(among)))
    spread[:, [among.index(name) for name in classes]] = np.stack(found["probability"])
    return Answers(
        found["label"].tolist(), spread, tuple(among), found["burst_id"].tolist(), found["group_id"].tolist()
    )


def _drawn(rows: DataFrame) -> DataFrame:
    """Give all rows, or whole groups of about MOST rows, the same ones every time."""
    count = rows.count()
    if count <= MOST:
        return rows
    place = F.pmod(F.xxhash64(F.lit("drawn"), "group_id"), F.lit(_STEPS))
    return rows.where(place < int(_STEPS * MOST / count))

"""Ask a model about labelled images: its answers come to the driver, without the features."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.classifiers.estimators import allow_custom_stages, import_lightgbm
from pipelines.classifiers.transformers import FLIPPED_COLUMN, predict_probabilities
from pipelines.evaluation.folds import in_fold
from pipelines.evaluation.predictions import PredictionSet
from pipelines.tracking.mlflow_client import ModelVersion, Tracking

MAX_ROWS = 200_000  # answers that come to the driver
FEATURE_COLUMNS = ("features", FLIPPED_COLUMN)  # columns of features that a model may be asked about
_STEPS = 1_000_000


def load_model(tracking: Tracking, version: ModelVersion) -> PipelineModel:
    """Give a version's model. Raises PlatformError where its learner is not there."""
    if version.tags.get("learner") == "lightgbm":
        import_lightgbm()  # its classes are known to Spark's reader from here on
    allow_custom_stages()
    return tracking.load(version)


def predict_labelled(
    model: PipelineModel, rows: DataFrame, classes: Sequence[str], *, among: Sequence[str] | None = None
) -> PredictionSet | None:
    """Give the answers for rows of features, label, burst_id, group_id whose label is in `among`; None without any.

    `classes` are the model's own, in its order; `among` (the same, if not given) may hold more: to those the model
    gives the probability 0. Rows with `flipped`, not null, are asked about in both views. Of more than MOST rows the
    driver gets about so many, of groups drawn by their hash: what is measured on them is as true as on all, and its
    interval says how wide it may lie.
    """
    among = list(among or classes)
    return _collected(_answers(model, _drawn(rows.where(F.col("label").isin(among)))), classes, among)


def predict_out_of_fold(
    models: Sequence[PipelineModel], rows: DataFrame, classes: Sequence[str]
) -> PredictionSet | None:
    """Give what the models say, each of the rows of its own `fold`, which it has not seen."""
    drawn = _drawn(rows.where(F.col("label").isin(list(classes))))
    answers = [_answers(model, drawn.where(in_fold(fold))) for fold, model in enumerate(models)]
    return _collected(reduce(DataFrame.unionAll, answers), classes, classes)


def _answers(model: PipelineModel, rows: DataFrame) -> DataFrame:
    views = [name for name in FEATURE_COLUMNS if name in rows.columns]
    found = rows.select(*views, "label", "burst_id", "group_id")
    if FLIPPED_COLUMN in views:
        found = found.withColumn(FLIPPED_COLUMN, F.coalesce(FLIPPED_COLUMN, "features"))
    for view in views:
        found = predict_probabilities(model, found, view).withColumnRenamed("probability", f"of_{view}")
    return found.drop(*views)


def _collected(answers: DataFrame, classes: Sequence[str], among: Sequence[str]) -> PredictionSet | None:
    found = answers.toPandas()
    if found.empty:
        return None
    places = [list(among).index(name) for name in classes]
    views = []
    for column in [name for name in answers.columns if name.startswith("of_")]:
        spread = np.zeros((len(found), len(among)))
        spread[:, places] = np.stack(found[column])
        views.append(spread)
    return PredictionSet(
        found["label"].tolist(),
        views[0],
        tuple(among),
        found["burst_id"].tolist(),
        found["group_id"].tolist(),
        views[1] if len(views) > 1 else None,
    )


def _drawn(rows: DataFrame) -> DataFrame:
    """Give all rows, or whole groups of about MOST rows, the same ones every time."""
    count = rows.count()
    if count <= MAX_ROWS:
        return rows
    place = F.expr(f"pmod(xxhash64('drawn', group_id), {_STEPS})")
    return rows.where(place < int(_STEPS * MAX_ROWS / count))

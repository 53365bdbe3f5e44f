"""Predict labelled images: the predictions are collected on the driver, without the features."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.classifiers.estimators import allow_custom_stages, import_lightgbm
from pipelines.classifiers.transformers import FLIPPED_COLUMN, predict_probabilities
from pipelines.evaluation.predictions import PredictionSet
from pipelines.tracking.mlflow_client import ModelVersion, Tracking

MAX_ROWS = 200_000  # collected on the driver
FEATURE_COLUMNS = ("features", FLIPPED_COLUMN)  # a model can predict from each
_HASH_BUCKETS = 1_000_000
PROBABILITY_PREFIX = "probability_"  # of the column of each view


def load_model(tracking: Tracking, version: ModelVersion) -> PipelineModel:
    """Return the model of a version. Raises PlatformError if its classifier is not installed."""
    if version.tags.get("learner") == "lightgbm":
        import_lightgbm()  # registers its classes with Spark's reader
    allow_custom_stages()
    return tracking.load(version)


def predict_labelled(model: PipelineModel, rows: DataFrame, classes: Sequence[str]) -> PredictionSet | None:
    """Return predictions for rows of features, label, burst_id, group_id, or None without rows.

    `classes` are the model's own, in its order. Rows with non-null `flipped` are predicted in both views. Of more than
    MAX_ROWS rows about that many are collected, in groups sampled by their hash: metrics on them are unbiased, with
    wider intervals.
    """
    return _collect(_predict_views(model, _sample_groups(rows)), classes)


def predict_out_of_fold(
    models: Sequence[PipelineModel], rows: DataFrame, classes: Sequence[str]
) -> PredictionSet | None:
    """Return out-of-fold predictions: model i predicts the rows with `fold` i, which it was not trained on."""
    sample = _sample_groups(rows)
    predictions = [_predict_views(model, sample.where(F.col("fold") == fold)) for fold, model in enumerate(models)]
    return _collect(reduce(DataFrame.unionAll, predictions), classes)


def _predict_views(model: PipelineModel, rows: DataFrame) -> DataFrame:
    views = [name for name in FEATURE_COLUMNS if name in rows.columns]
    known = [name for name in ("label", "burst_id", "group_id", "content_hash") if name in rows.columns]
    predictions = rows.select(*views, *known)
    if FLIPPED_COLUMN in views:
        predictions = predictions.withColumn(FLIPPED_COLUMN, F.coalesce(FLIPPED_COLUMN, "features"))
    for view in views:
        predictions = predict_probabilities(model, predictions, view)
        predictions = predictions.withColumnRenamed("probability", f"{PROBABILITY_PREFIX}{view}")
    return predictions.drop(*views)


def _collect(predictions: DataFrame, classes: Sequence[str]) -> PredictionSet | None:
    table = predictions.toPandas()
    if table.empty:
        return None
    views = [np.stack(table[name]) for name in predictions.columns if name.startswith(PROBABILITY_PREFIX)]
    return PredictionSet(
        table["label"].tolist(),
        views[0],
        tuple(classes),
        table["burst_id"].tolist(),
        table["group_id"].tolist(),
        views[1] if len(views) > 1 else None,
        table["content_hash"].tolist() if "content_hash" in table else (),
    )


def _sample_groups(rows: DataFrame) -> DataFrame:
    """Return all rows, or whole groups with about MAX_ROWS rows, always the same ones."""
    count = rows.count()
    if count <= MAX_ROWS:
        return rows
    bucket = F.expr(f"pmod(xxhash64('drawn', group_id), {_HASH_BUCKETS})")
    return rows.where(bucket < int(_HASH_BUCKETS * MAX_ROWS / count))

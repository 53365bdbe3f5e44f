"""Evaluate a fitted pipeline on unseen groups: on the test split, or by nested grouped cross-validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.classifiers.predict import predict_labelled
from pipelines.config.settings import Train
from pipelines.errors import DataError
from pipelines.evaluation.folds import assign_folds, in_fold
from pipelines.evaluation.held_out import HeldOutPart, HeldOutPredictions
from pipelines.evaluation.leakage import Leakage, find_leaks
from pipelines.stages.train.fit import FittedPipeline, fit_pipeline

DEFAULT_FOLDS = 5  # of the evaluation, if train.cv_folds is 0
INNER_FOLDS = 3  # at most, within the training folds
MAX_CHECKED = 2_000  # images that the leak check compares with all sampled images
MAX_VALUES = 20_000_000  # feature values in memory: 80 MB, and twice that while they are standardised
HASH_BUCKETS = 1_000_000


def evaluate_on_test(
    pipeline: FittedPipeline, test: DataFrame, classes: Sequence[str], evaluated: Sequence[str]
) -> HeldOutPredictions:
    """Predict the images of the test split whose class is in `evaluated`."""
    part = _predict_part(pipeline, test.where(F.col("label").isin(list(evaluated))), classes)
    assert part is not None  # every evaluated class has test images
    return HeldOutPredictions((part,))


def cross_validate_pipeline(
    rows: DataFrame, classes: Sequence[str], evaluated: Sequence[str], settings: Train
) -> HeldOutPredictions:
    """Fit the pipeline without each fold of the groups of all splits, and predict the images of that fold.

    Nested: parameters, views, temperature, vote and thresholds are selected within the other folds, so no choice
    depends on the images that it is evaluated on. Images of classes in one fold only are trained on but not predicted:
    a model cannot know a class that it was not trained on. The inner cross-validation has at most INNER_FOLDS folds,
    which limits the cost to three or four trainings. Raises DataError if fewer than two classes can be predicted.
    """
    inner = settings.model_copy(update={"cv_folds": min(settings.cv_folds, INNER_FOLDS)})
    folds = min(settings.cv_folds or DEFAULT_FOLDS, rows.select("group_id").distinct().count())
    folded = assign_folds(rows, folds, settings.split_salt).cache()
    try:
        counted = folded.groupBy("label").agg(F.countDistinct("fold").alias("folds")).where("folds > 1").collect()
        predicted = sorted({row["label"] for row in counted} & set(evaluated))
        if len(predicted) < 2:
            raise DataError(
                f"Of {len(classes):,} classes {len(predicted):,} have groups (encounters) in two of {folds} folds; an "
                "evaluation needs two such classes. Label more encounters of each class."
            )
        is_predicted = F.col("label").isin(predicted)
        # The split matters only if train.cv_folds is 0: then its validation part is held out.
        split = F.when(F.col("split") == "validation", F.col("split")).otherwise("train")
        parts = []
        for fold in range(folds):
            others = folded.where(~in_fold(fold)).drop("fold").withColumn("split", split).cache()
            part = _predict_part(
                fit_pipeline(others, classes, inner), folded.where(in_fold(fold) & is_predicted), classes
            )
            others.unpersist()
            parts += [part] if part else []
    finally:
        folded.unpersist()
    return HeldOutPredictions(tuple(parts), folds)


def _predict_part(pipeline: FittedPipeline, rows: DataFrame, classes: Sequence[str]) -> HeldOutPart | None:
    """Return the predictions for the rows; None without rows."""
    views = predict_labelled(pipeline.model, rows, classes)
    if views is None:
        return None
    both = pipeline.policy.average_flip
    return HeldOutPart(
        views.average_views(both), views.with_temperature(1 / pipeline.temperature).average_views(both), pipeline.policy
    )


def check_leakage(rows: DataFrame, settings: Train, folds: int) -> Leakage:
    """Check the evaluation images for near-identical training images.

    Large sets are sampled by a hash of the bytes: at most MAX_CHECKED images are checked, against as many as fit into
    MAX_VALUES feature values on the driver. The result is then a lower bound.
    """
    if folds:
        rows = assign_folds(rows, folds, settings.split_salt).withColumn("side", F.col("fold"))
        is_checked = F.lit(True)
    else:
        rows = rows.withColumn("side", (F.col("split") == "test").cast("int"))
        is_checked = F.col("side") == 1
    length, count, to_check = rows.agg(
        F.first(F.size("features")), F.count("*"), F.count(F.when(is_checked, 1))
    ).first()
    position = F.expr(f"pmod(xxhash64('leakage', content_hash), {HASH_BUCKETS})") / F.lit(HASH_BUCKETS)
    in_sample = position < MAX_CHECKED / max(to_check, 1)
    is_kept = in_sample if not folds else F.lit(True)
    is_compared = (position < MAX_VALUES / max(length * count, 1)) & (is_kept | ~is_checked)
    time = F.col("captured_at").cast("double") if "captured_at" in rows.columns else F.lit(None).cast("double")
    sample = rows.where(is_compared).select(
        "content_hash",
        "path",
        "label",
        "side",
        time.alias("time"),
        (is_checked & in_sample).alias("is_checked"),
        "features",
    )
    table = sample.toPandas().sort_values("content_hash")
    if not len(table):
        return Leakage(0, 0)
    return find_leaks(
        np.stack(table["features"].to_numpy()),
        table["side"].to_numpy(np.int64),
        table["is_checked"].to_numpy(bool),
        table["label"].tolist(),
        table["path"].tolist(),
        table["time"].to_numpy(np.float64),
    )

"""Measure a recipe on groups that it has not seen: on the test split, or by grouped cross-validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.classifiers.predict import predict_labelled
from pipelines.config.settings import Train
from pipelines.errors import DataError
from pipelines.evaluation.folds import assign_folds, in_fold
from pipelines.evaluation.leakage import Leakage, find_leaks
from pipelines.evaluation.measurements import HeldOutPart, HeldOutPredictions
from pipelines.stages.train.fit import FittedPipeline, fit_pipeline

DEFAULT_FOLDS = 5  # of an evaluation by cross-validation, where train.cv_folds is 0
INNER_FOLDS = 3
MAX_CHECKED = 2_000  # images that the leak check compares with all others that it draws
MAX_VALUES = 20_000_000  # of features that the leak check holds: 80 MB, and twice that while they are scaled
HASH_BUCKETS = 1_000_000


def evaluate_on_test(
    recipe: FittedPipeline, test: DataFrame, classes: Sequence[str], evaluated: Sequence[str]
) -> HeldOutPredictions:
    """Ask the model about the images of the test split whose class is in `evaluated`."""
    part = _predict_part(recipe, test.where(F.col("label").isin(list(evaluated))), classes)
    assert part is not None  # every class that is evaluated has test images
    return HeldOutPredictions((part,))


def cross_validate_pipeline(
    rows: DataFrame, classes: Sequence[str], evaluated: Sequence[str], settings: Train
) -> HeldOutPredictions:
    """Fit the recipe once without each fold of the groups of all splits, and ask it about the images of that fold.

    Nested: parameters, views, temperature, vote and thresholds are chosen anew within the other folds, so nothing that
    was chosen has seen the images it is measured on. Images of classes that lie in one fold alone are learned from
    but not asked about: a model cannot know a class that it was never taught. Within the other folds at most WITHIN
    folds choose, which keeps the cost to three or four trainings. Raises DataError where fewer than two classes can be
    asked about.
    """
    within = settings.model_copy(update={"cv_folds": min(settings.cv_folds, INNER_FOLDS)})
    folds = min(settings.cv_folds or DEFAULT_FOLDS, rows.select("group_id").distinct().count())
    folded = assign_folds(rows, folds, settings.split_salt).cache()
    try:
        counted = folded.groupBy("label").agg(F.countDistinct("fold").alias("folds")).where("folds > 1").collect()
        known = sorted({row["label"] for row in counted} & set(evaluated))
        if len(known) < 2:
            raise DataError(
                f"Of {len(classes):,} classes {len(known):,} have groups (encounters) in two of {folds} folds; an "
                "evaluation takes two such classes. Label more encounters of each class."
            )
        is_asked = F.col("label").isin(known)
        # The split says nothing here, but where train.cv_folds is 0 its validation part is what is held out.
        split = F.when(F.col("split") == "validation", F.col("split")).otherwise("train")
        parts = []
        for fold in range(folds):
            others = folded.where(~in_fold(fold)).drop("fold").withColumn("split", split).cache()
            part = _predict_part(fit_pipeline(others, classes, within), folded.where(in_fold(fold) & is_asked), classes)
            others.unpersist()
            parts += [part] if part else []
    finally:
        folded.unpersist()
    return HeldOutPredictions(tuple(parts), folds)


def _predict_part(recipe: FittedPipeline, rows: DataFrame, classes: Sequence[str]) -> HeldOutPart | None:
    """Return the answers about the rows; None where there is no row."""
    views = predict_labelled(recipe.model, rows, classes)
    if views is None:
        return None
    both = recipe.policy.average_flip
    return HeldOutPart(
        views.average_views(both), views.with_temperature(1 / recipe.temperature).average_views(both), recipe.policy
    )


def check_leakage(rows: DataFrame, settings: Train, folds: int) -> Leakage:
    """Check the images of an evaluation for near-identical ones among those learned from.

    Of many images some are drawn by a hash of their bytes, at most MOST_CHECKED to check among those that fit into
    MOST_NUMBERS numbers of the driver's memory; what is found then is a part of what there is.
    """
    if folds:
        rows = assign_folds(rows, folds, settings.split_salt).withColumn("side", F.col("fold"))
        checked = F.lit(True)
    else:
        rows = rows.withColumn("side", (F.col("split") == "test").cast("int"))
        checked = F.col("side") == 1
    length, count, to_check = rows.agg(F.first(F.size("features")), F.count("*"), F.count(F.when(checked, 1))).first()
    place = F.expr(f"pmod(xxhash64('leakage', content_hash), {HASH_BUCKETS})") / F.lit(HASH_BUCKETS)
    few = place < MAX_CHECKED / max(to_check, 1)
    kept = few if not folds else F.lit(True)
    compared = (place < MAX_VALUES / max(length * count, 1)) & (kept | ~checked)
    time = F.col("captured_at").cast("double") if "captured_at" in rows.columns else F.lit(None).cast("double")
    drawn = rows.where(compared).select(
        "content_hash", "path", "label", "side", time.alias("time"), (checked & few).alias("is_checked"), "features"
    )
    found = drawn.toPandas().sort_values("content_hash")
    if not len(found):
        return Leakage(0, 0)
    return find_leaks(
        np.stack(found["features"].to_numpy()),
        found["side"].to_numpy(np.int64),
        found["is_checked"].to_numpy(bool),
        found["label"].tolist(),
        found["path"].tolist(),
        found["time"].to_numpy(np.float64),
    )

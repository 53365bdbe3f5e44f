"""Training rows, their selection and held-out predictions, shared by training, sweep and split comparison."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.classifiers.cross_validation import CrossValidationResult, cross_validate, fit_with_validation
from pipelines.classifiers.predict import predict_labelled, predict_out_of_fold
from pipelines.classifiers.transformers import FLIPPED_COLUMN
from pipelines.config.settings import Settings, Train
from pipelines.evaluation.data_checks import Coverage, check_coverage
from pipelines.evaluation.folds import assign_folds
from pipelines.evaluation.predictions import PredictionSet
from pipelines.evaluation.split import assign_split, count_by_split, labelled_images
from pipelines.label_text import SPELLING_REMEDY, require_known_labels, require_one_spelling
from pipelines.workspace.features import read_features
from pipelines.workspace.tables import Tables


def training_rows(tables: Tables, settings: Settings, backbone: str) -> DataFrame:
    """Return path, content_hash, features, label, burst_id, group_id, captured_at, split of the labelled images.

    With `featurize.horizontal_flip` there is also `flipped`, the features of the flipped image.
    """
    options = settings.train
    images = labelled_images(tables.latest_images(), options.exclude_labels, ["captured_at"])
    features = read_features(tables, backbone, flipped=settings.featurize.horizontal_flip).where("failure is null")
    rows = images.join(features.drop("failure", "failure_detail", "featurized_at"), "content_hash")
    return rows.withColumn("split", assign_split(F.col("group_id"), options.fractions, options.split_salt))


def require_consistent_labels(tables: Tables, rows: DataFrame, settings: Settings) -> None:
    """Raise DataError if labels differ only in case, or if no image has a label of train.exclude_labels."""
    if excluded := settings.train.exclude_labels:
        labels = tables.latest_images().where("label is not null").select("label").distinct().collect()
        require_known_labels("train.exclude_labels", excluded, [row["label"] for row in labels], "image")
    if settings.sources.label_case != "keep":
        counts = {row["label"]: row["count"] for row in rows.groupBy("label").count().collect()}
        require_one_spelling(counts, f"{SPELLING_REMEDY} Then ingest their sources again.")


@dataclass(frozen=True)
class Selection:
    """The rows of a training, and the coverage of their classes.

    `moved` are groups of validation or test that are trained on because their class has no others: their `split` is
    train here, and no later version is evaluated on them (ModelVersion.learned_groups).
    """

    rows: DataFrame
    coverage: Coverage
    moved: tuple[str, ...] = ()


def select_rows(rows: DataFrame, settings: Train) -> Selection:
    """Leave out the images of classes with too few groups (train.min_groups_per_class).

    Raises DataError if too little is left to train and evaluate a classifier.
    """
    training_splits = ("train", "validation") if settings.cv_folds else ("train",)
    requirements = settings.min_groups_per_class, training_splits, settings.classes_of_interest
    coverage, moved = check_coverage(count_by_split(rows), *requirements), tuple[str, ...]()
    left_out = coverage.left_out
    if left_out:
        rows = rows.where(~F.col("label").isin(list(left_out)))
    if coverage.unlearned:
        groups = rows.where(F.col("label").isin(list(coverage.unlearned))).select("group_id").distinct().collect()
        moved = tuple(sorted(row["group_id"] for row in groups))
        is_moved = F.col("group_id").isin(list(moved))
        rows = rows.withColumn("split", F.when(is_moved, "train").otherwise(F.col("split")))
        coverage = replace(check_coverage(count_by_split(rows), *requirements), left_out=left_out)
    return Selection(rows, coverage, moved)


def training_fingerprint(rows: DataFrame, settings: Settings, backbone: str) -> str:
    """Return a text that identifies images, labels, bursts, groups, splits, backbone and settings."""
    digest = F.xxhash64("content_hash", "label", "burst_id", "group_id", "split").cast("decimal(38,0)")
    count, total = rows.agg(F.count("*"), F.sum(digest)).first()
    views = "/flipped" if FLIPPED_COLUMN in rows.columns else ""
    return f"{count}/{total}/{backbone}{views}/{json.dumps(settings.train.model_dump(), sort_keys=True)}"


def fit_cross_validated(
    rows: DataFrame, classes: list[str], settings: Train, folds: int, unit: str = "group_id"
) -> tuple[CrossValidationResult, PredictionSet | None]:
    """Fit on all rows; return out-of-fold predictions by models that were trained without the row's group (or `unit`).

    Rows with a `fold` keep it. Labels in one fold only are not predicted: predictions of a model that was not trained
    on a label must not affect any choice.
    """
    if "fold" not in rows.columns:
        folded = assign_folds(rows, folds, settings.split_salt, unit).cache()
        try:
            return fit_cross_validated(folded, classes, settings, folds)
        finally:
            folded.unpersist()
    fitted = cross_validate(rows, classes, settings, folds)
    return fitted, predict_out_of_fold(
        fitted.fold_models, rows.where(~F.col("label").isin(list(fitted.single_fold_labels))), classes
    )


def fit_with_holdout(
    rows: DataFrame, classes: list[str], settings: Train
) -> tuple[CrossValidationResult, PredictionSet | None]:
    """Fit on train only, and predict validation."""
    validation = rows.where("split = 'validation'")
    fitted = fit_with_validation(rows.where("split = 'train'"), validation, classes, settings)
    return fitted, predict_labelled(fitted.model, validation, classes)

"""Training rows and their selection, shared by training, sweep and split comparison."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from hashlib import sha256

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.classifiers.training_set import TrainingSet
from pipelines.config.settings import Settings, Train
from pipelines.evaluation.data_checks import Coverage, check_coverage
from pipelines.evaluation.split import Counts, assign_split, count_by_split, labelled_images
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


def require_consistent_labels(tables: Tables, rows: TrainingSet, settings: Settings) -> None:
    """Raise DataError if labels differ only in case, or if no image has a label of train.exclude_labels."""
    if excluded := settings.train.exclude_labels:
        labels = tables.latest_images().where("label is not null").select("label").distinct().collect()
        require_known_labels("train.exclude_labels", excluded, [row["label"] for row in labels], "image")
    if settings.sources.label_case != "keep":
        require_one_spelling(Counter(rows.labels), f"{SPELLING_REMEDY} Then ingest their sources again.")


@dataclass(frozen=True)
class Selection:
    """The rows of a training, and the coverage of their classes.

    `moved` are groups of validation or test that are trained on because their class has no others: their `split` is
    train here, and no later version is evaluated on them (ModelVersion.learned_groups).
    """

    rows: TrainingSet
    coverage: Coverage
    moved: tuple[str, ...] = ()


def select_rows(rows: TrainingSet, settings: Train) -> Selection:
    """Leave out the images of classes with too few groups (train.min_groups_per_class).

    Raises DataError if too little is left to train and evaluate a classifier.
    """
    training_splits = ("train", "validation") if settings.cv_folds else ("train",)
    requirements = settings.min_groups_per_class, training_splits, settings.classes_of_interest
    coverage, moved = check_coverage(count_images(rows), *requirements), tuple[str, ...]()
    left_out = coverage.left_out
    if left_out:
        rows = rows.with_labels([label for label in rows.classes if label not in left_out])
    if coverage.unlearned:
        moved = tuple(sorted(set(rows.with_labels(coverage.unlearned).column("group_id"))))
        is_moved = rows.images["group_id"].isin(moved)
        rows = rows.assign(split=rows.images["split"].mask(is_moved, "train"))
        coverage = replace(check_coverage(count_images(rows), *requirements), left_out=left_out)
    return Selection(rows, coverage, moved)


def count_images(rows: TrainingSet) -> Counts:
    """Count images and groups by label and split."""
    return count_by_split(rows.labels, rows.column("split").tolist(), rows.column("group_id").tolist())


def training_fingerprint(rows: TrainingSet, settings: Settings, backbone: str) -> str:
    """Return a text that identifies images, labels, bursts, groups, splits, backbone and settings."""
    columns = [rows.column(name).tolist() for name in ("content_hash", "label", "burst_id", "group_id", "split")]
    digest = sha256()
    for row in sorted(zip(*columns, strict=True)):
        digest.update(json.dumps(row).encode())
    views = "/flipped" if len(rows.store.views) > 1 else ""
    options = settings.train.model_dump(exclude={"max_in_memory_values"})  # it selects no other model
    return f"{len(rows)}/{digest.hexdigest()}/{backbone}{views}/{json.dumps(options, sort_keys=True)}"

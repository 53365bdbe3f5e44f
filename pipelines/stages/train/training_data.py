"""Training rows and their selection, shared by training, sweep and split comparison."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from hashlib import sha256

from pyspark.sql import DataFrame

from pipelines.classifiers.training_set import TrainingSet
from pipelines.config.settings import Settings, Train
from pipelines.evaluation.data_checks import Coverage, check_coverage
from pipelines.evaluation.split import Counts, count_by_split, find_split, labelled_images
from pipelines.label_text import SPELLING_REMEDY, require_known_labels, require_one_spelling
from pipelines.workspace.features import read_features
from pipelines.workspace.labels import effective_images, with_split
from pipelines.workspace.tables import Tables

MIN_CLASSES = 2  # for an evaluation


def training_rows(tables: Tables, settings: Settings, backbone: str) -> DataFrame:
    """Return path, content_hash, features, label, burst_id, group_id, captured_at, split of the labelled images.

    The label is the one in force; `label_source` says where it is from, and `is_model_chosen` whether a model chose the
    group for review. With `featurize.horizontal_flip` there is also `flipped`, the features of the flipped image.
    """
    options = settings.train
    current = effective_images(tables, settings.sources.label_case)
    images = labelled_images(current, options.exclude_labels, ["captured_at", "label_source"])
    features = read_features(tables, backbone, flipped=settings.featurize.horizontal_flip).where("failure is null")
    rows = images.join(features.drop("failure", "failure_detail", "featurized_at"), "content_hash")
    return with_split(tables, rows, options)


def require_consistent_labels(tables: Tables, rows: TrainingSet, settings: Settings) -> None:
    """Raise DataError if labels differ only in case, or if no image has a label of train.exclude_labels."""
    if excluded := settings.train.exclude_labels:
        labelled = effective_images(tables, settings.sources.label_case).where("label is not null")
        labels = labelled.select("label").distinct().collect()
        require_known_labels("train.exclude_labels", excluded, [row["label"] for row in labels], "image")
    if settings.sources.label_case != "keep":
        by_people = Counter(rows.where(rows.is_labelled_by_person).labels)
        remedy = f"{SPELLING_REMEDY} Then ingest their sources again."
        if by_people:
            remedy += " Labels of people change only by another decision: `irbis review`."
        require_one_spelling(Counter(rows.labels), remedy, by_people)


@dataclass(frozen=True)
class Selection:
    """The rows of a training, and the coverage of their classes.

    `moved` are groups of validation or test that are trained on because their class has no others: their `split` is
    train here, and no later version is evaluated on them (ModelVersion.learned_groups).

    `chosen` are groups that are trained on instead of tested on, because a model chose them for review.
    `evaluates_chosen`: the evaluation includes them, because without them fewer than two classes can be evaluated.
    """

    rows: TrainingSet
    coverage: Coverage
    moved: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()
    evaluates_chosen: bool = False

    @property
    def learned(self) -> list[str]:
        """Return the groups that their hash puts into another split than the one they are used for."""
        return sorted({*self.moved, *self.chosen})


def select_rows(rows: TrainingSet, settings: Train) -> Selection:
    """Leave out the images of classes with too few groups (train.min_groups_per_class).

    Raises DataError if too little is left to train and evaluate a classifier.
    """
    coverage, moved = _check_coverage(rows, settings), tuple[str, ...]()
    left_out = coverage.left_out
    if left_out:
        rows = rows.with_labels([label for label in rows.classes if label not in left_out])
    if coverage.unlearned:
        moved = tuple(sorted(set(rows.with_labels(coverage.unlearned).column("group_id"))))
        is_moved = rows.images["group_id"].isin(moved)
        rows = rows.assign(split=rows.images["split"].mask(is_moved, "train"))
        coverage = replace(_check_coverage(rows, settings), left_out=left_out)
    chosen = tuple(
        group
        for group in sorted(set(rows.where(rows.is_model_chosen).column("group_id")))
        if find_split(group, settings.fractions, settings.split_salt) == "test"
    )
    if len(coverage.evaluated) >= MIN_CLASSES:
        return Selection(rows, coverage, moved, chosen)
    rows = rows.assign(is_model_chosen=False)
    return Selection(rows, replace(_check_coverage(rows, settings), left_out=left_out), moved, chosen, True)


def _check_coverage(rows: TrainingSet, settings: Train) -> Coverage:
    training_splits = ("train", "validation") if settings.cv_folds else ("train",)
    unbiased = set(rows.where(~rows.is_model_chosen).labels)
    return check_coverage(
        count_images(rows), settings.min_groups_per_class, training_splits, settings.classes_of_interest, unbiased
    )


def count_images(rows: TrainingSet) -> Counts:
    """Count images and groups by label and split."""
    return count_by_split(rows.labels, rows.column("split").tolist(), rows.column("group_id").tolist())


def training_fingerprint(rows: TrainingSet, settings: Settings, backbone: str) -> str:
    """Return a text that identifies images, labels in force, bursts, groups, splits, backbone and settings."""
    columns = [rows.column(name).tolist() for name in ("content_hash", "label", "burst_id", "group_id", "split")]
    digest = sha256()
    for row in sorted(zip(*columns, strict=True)):
        digest.update(json.dumps(row).encode())
    if chosen := sorted(set(rows.where(rows.is_model_chosen).column("group_id"))):
        digest.update(json.dumps(chosen).encode())
    views = "/flipped" if len(rows.store.views) > 1 else ""
    options = settings.train.model_dump(exclude={"max_in_memory_values"})  # it selects no other model
    return f"{len(rows)}/{digest.hexdigest()}/{backbone}{views}/{json.dumps(options, sort_keys=True)}"

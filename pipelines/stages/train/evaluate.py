"""Evaluate a fitted pipeline on unseen groups: on the test split, or by nested grouped cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np

from pipelines.classifiers.training_set import TrainingSet
from pipelines.config.settings import Train
from pipelines.errors import DataError
from pipelines.evaluation.folds import in_several_folds
from pipelines.evaluation.held_out import HeldOutPart, HeldOutPredictions
from pipelines.evaluation.leakage import Leakage, find_leaks
from pipelines.stages.train.fit import FittedPipeline, fit_pipeline

DEFAULT_FOLDS = 5  # of the evaluation, if train.cv_folds is 0
INNER_FOLDS = 3  # at most, within the training folds
MAX_CHECKED = 2_000  # images that the leak check compares with all sampled images
MAX_VALUES = 20_000_000  # feature values in memory: 80 MB, and twice that while they are standardised


def evaluate_on_test(
    pipeline: FittedPipeline, test: TrainingSet, classes: Sequence[str], evaluated: Sequence[str]
) -> HeldOutPredictions:
    """Predict the images of the test split whose class is in `evaluated`."""
    part = _predict_part(pipeline, test.with_labels(evaluated), classes)
    assert part is not None  # every evaluated class has test images
    return HeldOutPredictions((part,))


def cross_validate_pipeline(
    rows: TrainingSet, classes: Sequence[str], evaluated: Sequence[str], settings: Train
) -> HeldOutPredictions:
    """Fit the pipeline without each fold of the groups of all splits, and predict the images of that fold.

    Nested: parameters, views, temperature, vote and thresholds are selected within the other folds, so no choice
    depends on the images that it is evaluated on. Images of classes in one fold only are trained on but not predicted:
    a model cannot know a class that it was not trained on. Nor are images of groups that a model chose for review: they
    are no random sample. The inner cross-validation has at most INNER_FOLDS folds,
    which limits the cost to three or four trainings. Raises DataError if fewer than two classes can be predicted.
    """
    inner = settings.model_copy(update={"cv_folds": min(settings.cv_folds, INNER_FOLDS)})
    folds = min(settings.cv_folds or DEFAULT_FOLDS, rows.count_groups())
    fold_of = rows.with_folds(folds, settings.split_salt).folds
    predicted = sorted(in_several_folds(rows.labels, fold_of) & set(evaluated))
    if len(predicted) < 2:
        raise DataError(
            f"Of {len(classes):,} classes {len(predicted):,} have groups (encounters) in two of {folds} folds; an "
            "evaluation needs two such classes. Label more encounters of each class."
        )
    # The split matters only if train.cv_folds is 0: then its validation part is held out.
    split = rows.images["split"].where(rows.images["split"] == "validation", "train")
    others = rows.assign(split=split)
    parts = []
    for fold in range(folds):
        fitted = fit_pipeline(others.where(fold_of != fold), classes, inner)
        held_out = rows.where((fold_of == fold) & ~rows.is_model_chosen)
        part = _predict_part(fitted, held_out.with_labels(predicted), classes)
        parts += [part] if part else []
    return HeldOutPredictions(tuple(parts), folds)


def _predict_part(pipeline: FittedPipeline, rows: TrainingSet, classes: Sequence[str]) -> HeldOutPart | None:
    """Return the predictions for the rows; None without rows."""
    views = pipeline.model.predict(rows, classes)
    if views is None:
        return None
    both = pipeline.policy.average_flip
    return HeldOutPart(
        views.average_views(both),
        views.with_temperature(1 / pipeline.model.temperature).average_views(both),
        pipeline.policy,
    )


def check_leakage(rows: TrainingSet, settings: Train, folds: int) -> Leakage:
    """Check the evaluation images for near-identical training images.

    Large sets are sampled by their content hash: at most MAX_CHECKED images are checked, against as many as fit into
    MAX_VALUES feature values. The result is then a lower bound.
    """
    if folds:
        sides = rows.with_folds(folds, settings.split_salt).folds
        is_checked = ~rows.is_model_chosen
    else:
        is_checked = rows.column("split") == "test"
        sides = is_checked.astype(np.int64)
    position = np.array([int(text[:12], 16) / 16**12 for text in map(_digest, rows.column("content_hash"))])
    in_sample = position < MAX_CHECKED / max(is_checked.sum(), 1)
    is_kept = in_sample | ~is_checked
    is_compared = (position < MAX_VALUES / max(rows.store.length * len(rows), 1)) & is_kept
    sample = rows.where(is_compared)
    if not len(sample):
        return Leakage(0, 0)
    images = sample.images
    times = images["captured_at"].to_numpy(np.float64) if "captured_at" in images else None
    return find_leaks(
        sample.plain_features(),
        sides[is_compared],
        (is_checked & in_sample)[is_compared],
        sample.labels,
        list(images["path"]),
        times,
    )


def _digest(content_hash: str) -> str:
    return sha256(f"leakage:{content_hash}".encode()).hexdigest()

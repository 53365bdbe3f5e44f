"""Nested cross-validation of a lever, as `irbis train` evaluates, and its comparison with another lever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from features import Features
from labelled_sets import LabelledSet

from pipelines.classifiers.training_set import TrainingSet
from pipelines.config.settings import Train
from pipelines.evaluation.bootstrap import resample_groups
from pipelines.evaluation.folds import in_several_folds
from pipelines.evaluation.held_out import HeldOutPart, HeldOutPredictions
from pipelines.evaluation.paired_bootstrap import TOLERANCE, PairedComparison, paired_bootstrap
from pipelines.evaluation.predictions import PredictionSet
from pipelines.evaluation.results import Interval
from pipelines.evaluation.review_policy import (
    TARGET_RECALLS,
    OperatingPoint,
    OperatingPointResult,
    ReviewPolicy,
    is_blank,
)
from pipelines.stages.train.fit import fit_pipeline

INNER_FOLDS = 3
BOOTSTRAP = 2000


class ArrayStore:
    """The part of FeatureStore that the solver in memory needs, with features that are arrays already."""

    is_loaded = True

    def __init__(self, views: Sequence[Features]):
        self.arrays, self.views = views, ("features", "flipped")[: len(views)]

    def fits(self, values: int) -> bool:
        return True

    def load(self, hashes: Sequence[str]) -> list[Features]:
        rows = np.array([int(text) for text in hashes])
        return [array[rows] for array in self.arrays]


@dataclass(frozen=True)
class Fold:
    """The held-out predictions of one fold, and those within the other folds, on which choices are made."""

    part: HeldOutPart
    validation: PredictionSet  # after the burst vote


def training_set(images: LabelledSet, grouping: str, views: Sequence[Features]) -> TrainingSet:
    """Return the labelled images with features. The content hash of an image is its row number."""
    rows = images.rows.reset_index(drop=True)
    is_used = rows.label.notna().to_numpy() & ~np.isnan(views[0][:, 0])
    table = pd.DataFrame(
        {
            "content_hash": rows.index.astype(str),
            "label": rows.label,
            "burst_id": rows.burst_id,
            "group_id": rows[grouping].astype(str),
            "split": "train",
        }
    )
    return TrainingSet(table[is_used].reset_index(drop=True), ArrayStore(views))  # type: ignore[arg-type]


def cross_validate(rows: TrainingSet, settings: Train, deal: int) -> list[Fold]:
    """Return a result for each fold of one deal of the groups, as `cross_validate_pipeline`."""
    settings = settings.model_copy(update={"split_salt": f"deal {deal}"})
    folds = min(settings.cv_folds, rows.count_groups())
    fold_of = rows.with_folds(folds, settings.split_salt).folds
    predicted, classes = sorted(in_several_folds(rows.labels, fold_of)), rows.classes
    inner = settings.model_copy(update={"cv_folds": min(settings.cv_folds, INNER_FOLDS)})
    results = []
    for fold in range(folds):
        fitted = fit_pipeline(rows.where(fold_of != fold), classes, inner)
        predictions = fitted.model.predict(rows.where(fold_of == fold).with_labels(predicted), classes)
        if predictions is None or fitted.validation is None:
            continue
        own = predictions.average_views(fitted.policy.average_flip)
        own = replace(own, bursts=[f"{deal}/{burst}" for burst in own.bursts])
        validation = fitted.validation.aggregate_bursts(fitted.policy.max_weight)
        results.append(Fold(HeldOutPart(own, own, fitted.policy), validation))
    return results


def choose_folds(levers: Sequence[Sequence[Fold]]) -> list[Fold]:
    """Return, fold by fold, the result of the lever with the lowest log-loss within the other folds.

    Levers with a balanced accuracy below that of the first are not considered, as in `choose_weight`.
    """
    return [folds[choose([fold.validation for fold in folds])] for folds in zip(*levers, strict=True)]


def choose(validation: Sequence[PredictionSet]) -> int:
    """Return the index of the predictions with the lowest balanced log-loss, the first of equals."""
    accuracy = [balanced_accuracy(each) for each in validation]
    allowed = [i for i, value in enumerate(accuracy) if value >= accuracy[0] - TOLERANCE]
    return min(allowed, key=lambda i: round(validation[i].log_loss, 12))


def balanced_accuracy(predictions: PredictionSet) -> float:
    return predictions.evaluate(bootstrap=0).metrics["balanced_accuracy"].value or 0.0


def held_out(folds: Sequence[Fold]) -> HeldOutPredictions:
    return HeldOutPredictions(tuple(fold.part for fold in folds), len(folds))


def by_burst(predictions: PredictionSet) -> PredictionSet:
    """Return one row for each burst: its most frequent label that is not blank, and the mean of its probabilities."""
    bursts, first = np.unique(np.asarray(predictions.bursts, str), return_index=True)
    index = pd.Series(predictions.bursts).map({name: i for i, name in enumerate(bursts)}).to_numpy()
    sums = np.zeros((len(bursts), len(predictions.classes)))
    np.add.at(sums, index, predictions.probabilities)
    counts = pd.crosstab(index, np.asarray(predictions.labels, object))
    counts = counts.mul([0.001 if is_blank(label) else 1 for label in counts.columns], axis=1)
    return PredictionSet(
        counts.idxmax(axis=1).tolist(),
        sums / np.bincount(index)[:, None],
        predictions.classes,
        bursts.tolist(),
        [predictions.groups[i] for i in first],
    )


def measure_reviews(predictions: HeldOutPredictions, label: str) -> list[OperatingPointResult]:
    """Return review share and recall at each target recall of images, with each fold's own threshold."""
    points = [OperatingPoint(label, "image", recall, 0.5, 0, 0) for recall in TARGET_RECALLS]
    return list(predictions.measure_operating_points(ReviewPolicy(0.0, (label,), tuple(points)), BOOTSTRAP))


def compare(ours: PredictionSet, theirs: PredictionSet) -> PairedComparison:
    """Return the lead in balanced accuracy, with a bootstrap over groups, each with all its deals."""
    return paired_bootstrap(ours, theirs, "balanced_accuracy", bootstrap=BOOTSTRAP)


def compare_log_loss(ours: PredictionSet, theirs: PredictionSet) -> Interval:
    """Return the difference of the balanced log-loss, in nats, with a bootstrap over groups; below 0: ours is lower."""
    truth, (_, groups) = ours.class_indices, ours.bursts_and_groups
    weights = 1.0 / np.bincount(truth)[truth]
    losses = [
        -np.log(np.maximum(p[np.arange(len(truth)), truth], 1e-16)) for p in (ours.probabilities, theirs.probabilities)
    ]
    by_group = [np.bincount(groups, weights * values) for values in (losses[0] - losses[1], np.ones(len(truth)))]
    drawn = np.concatenate(list(resample_groups(len(by_group[0]), BOOTSTRAP, 0)), axis=1)
    low, high = np.quantile((by_group[0] @ drawn) / (by_group[1] @ drawn), (0.025, 0.975))
    return Interval(float(by_group[0].sum() / by_group[1].sum()), float(low), float(high))

"""Held-out predictions of a fitted pipeline: on the test split, or by nested cross-validation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pipelines.evaluation.bootstrap import Floats
from pipelines.evaluation.predictions import PredictionSet
from pipelines.evaluation.review_policy import OperatingPoint, OperatingPointResult, ReviewPolicy, measure_points


@dataclass(frozen=True)
class HeldOutPart:
    """Predictions for images that were used neither to fit the model nor to choose the policy."""

    predictions: PredictionSet
    uncalibrated: PredictionSet  # before temperature scaling
    policy: ReviewPolicy


@dataclass(frozen=True)
class HeldOutPredictions:
    """The parts of an evaluation: one of the test split, or one of each fold of a cross-validation."""

    parts: tuple[HeldOutPart, ...]
    folds: int = 0  # of the cross-validation; 0: the test split

    @property
    def predictions(self) -> PredictionSet:
        return PredictionSet.concatenate([part.predictions for part in self.parts])

    @property
    def uncalibrated(self) -> PredictionSet:
        return PredictionSet.concatenate([part.uncalibrated for part in self.parts])

    @property
    def burst_predictions(self) -> PredictionSet:
        """Return the predictions after the burst vote, with the weight that was chosen without the fold."""
        return PredictionSet.concatenate(
            [part.predictions.aggregate_bursts(part.policy.max_weight) for part in self.parts]
        )

    def measure_operating_points(self, policy: ReviewPolicy, bootstrap: int) -> tuple[OperatingPointResult, ...]:
        """Return the review share and the recall of each operating point of the policy.

        By cross-validation each image is compared with the threshold that was chosen without its fold.
        """
        predictions = self.burst_predictions
        by_class = {label: predictions.class_scores(label) for label in policy.classes_of_interest}
        pairs = []
        for point in policy.operating_points:
            scores = by_class[point.label].scores - self._thresholds(point) + point.threshold
            pairs.append((point, replace(by_class[point.label], scores=scores)))
        return measure_points(pairs, bootstrap=bootstrap)

    def _thresholds(self, point: OperatingPoint) -> Floats:
        """Return the threshold for each image; 0, so that all need review, where the policy of its fold has none."""
        key = point.label, point.unit, point.recall
        thresholds = []
        for part in self.parts:
            by_key = {(each.label, each.unit, each.recall): each.threshold for each in part.policy.operating_points}
            thresholds.append(np.full(len(part.predictions.labels), by_key.get(key, 0.0)))
        return np.concatenate(thresholds)


def method_name(folds: int) -> str:
    """Return the name of the evaluation method; 0 folds: the test split."""
    return f"{folds}-fold cross-validation" if folds else "test"

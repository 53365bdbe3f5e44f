"""What was measured of a recipe: on the test split, or by cross-validation with all that is chosen chosen again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.evaluation.bootstrap import Floats
from pipelines.evaluation.predictions import PredictionSet
from pipelines.evaluation.review_policy import OperatingPoint, OperatingPointResult, ReviewPolicy, measure_points


@dataclass(frozen=True)
class HeldOutPart:
    """Hold calibrated answers about images that neither the model nor the decision has seen, and those before both."""

    predictions: PredictionSet
    raw: PredictionSet  # before the temperature
    policy: ReviewPolicy


@dataclass(frozen=True)
class HeldOutPredictions:
    """Hold the parts of an evaluation: one of the test split, or one of each fold of a cross-validation."""

    parts: tuple[HeldOutPart, ...]
    folds: int = 0  # of the cross-validation; 0: the test split

    @property
    def predictions(self) -> PredictionSet:
        return _joined([part.predictions for part in self.parts])

    @property
    def raw(self) -> PredictionSet:
        return _joined([part.raw for part in self.parts])

    @property
    def aggregate_bursts(self) -> PredictionSet:
        """Return the answers after the vote of each burst, by the weight that was chosen without its fold."""
        return _joined([part.predictions.aggregate_bursts(part.policy.max_weight) for part in self.parts])

    def measure_operating_points(self, decision: ReviewPolicy, bootstrap: int) -> tuple[OperatingPointResult, ...]:
        """Return what each operating point of `decision` costs and finds.

        By cross-validation every image is held against the threshold that was chosen without its fold.
        """
        voted = self.aggregate_bursts
        ranked = {label: voted.class_scores(label) for label in decision.classes_of_interest}
        pairs = []
        for point in decision.operating_points:
            scores = ranked[point.label].scores - self._thresholds(point) + point.threshold
            pairs.append((point, replace(ranked[point.label], scores=scores)))
        return measure_points(pairs, bootstrap=bootstrap)

    def _thresholds(self, point: OperatingPoint) -> Floats:
        """Return the threshold for each image; 0, so that all are looked at, where a fold's decision has none."""
        key = point.label, point.unit, point.recall
        found = []
        for part in self.parts:
            own = {(each.label, each.unit, each.recall): each.threshold for each in part.policy.operating_points}
            found.append(np.full(len(part.predictions.labels), own.get(key, 0.0)))
        return np.concatenate(found)


def method_name(folds: int) -> str:
    """Return the name of the way in which something was measured."""
    return f"{folds}-fold cross-validation" if folds else "test"


def _joined(parts: Sequence[PredictionSet]) -> PredictionSet:
    return PredictionSet(
        [label for each in parts for label in each.labels],
        np.concatenate([each.probabilities for each in parts]),
        parts[0].classes,
        [burst for each in parts for burst in each.bursts],
        [group for each in parts for group in each.groups],
    )

"""Predictions for labelled images, and the choices made on them: temperature, burst vote and thresholds.

The choices are made on validation images and then measured on test images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.bootstrap import Floats
from pipelines.evaluation.burst_vote import MAXIMUM, MEAN, NO_VOTE, aggregate_burst, choose_weight
from pipelines.evaluation.calibration import apply_temperature, balanced_log_loss, fit_temperature
from pipelines.evaluation.evaluate import evaluate
from pipelines.evaluation.results import Evaluation
from pipelines.evaluation.review_policy import TARGET_RECALLS, UNITS, ClassScores, ReviewPolicy, choose_threshold

# Weights by train.burst_aggregation; `auto` chooses the best.
AGGREGATION_WEIGHTS = {"mean": MEAN, "max": MAXIMUM, "none": NO_VOTE}


@dataclass(frozen=True)
class PredictionSet:
    """Labels of n images, probabilities of shape (n, k) in the order of the classes, and bursts and groups.

    `flipped`: the probabilities for the flipped images, if the model has predicted them.
    """

    labels: Sequence[str]
    probabilities: Floats
    classes: tuple[str, ...]
    bursts: Sequence[str]
    groups: Sequence[str]
    flipped: Floats | None = None

    @classmethod
    def concatenate(cls, sets: Sequence[PredictionSet]) -> PredictionSet:
        """Return the predictions of several sets with the same classes, in their order and without flipped copies."""
        return cls(
            [label for each in sets for label in each.labels],
            np.concatenate([each.probabilities for each in sets]),
            sets[0].classes,
            [burst for each in sets for burst in each.bursts],
            [group for each in sets for group in each.groups],
        )

    def take(self, mask: NDArray[np.bool_]) -> PredictionSet:
        """Return the images of a mask."""
        labels, bursts, groups = (
            [value for value, is_taken in zip(values, mask, strict=True) if is_taken]
            for values in (self.labels, self.bursts, self.groups)
        )
        flipped = None if self.flipped is None else self.flipped[mask]
        return PredictionSet(labels, self.probabilities[mask], self.classes, bursts, groups, flipped)

    def without_groups(self, groups: Iterable[str]) -> PredictionSet | None:
        """Return the images of other groups; None if there are none."""
        left_out = set(groups)
        mask = np.array([group not in left_out for group in self.groups])
        return self.take(mask) if mask.any() else None

    def with_classes(self, classes: Sequence[str]) -> PredictionSet:
        """Return the predictions with more classes, which have the probability 0."""
        columns = [list(classes).index(name) for name in self.classes]

        def spread(probabilities: Floats) -> Floats:
            wide = np.zeros((len(probabilities), len(classes)))
            wide[:, columns] = probabilities
            return wide

        flipped = None if self.flipped is None else spread(self.flipped)
        return replace(self, probabilities=spread(self.probabilities), classes=tuple(classes), flipped=flipped)

    @cached_property
    def class_indices(self) -> NDArray[np.int64]:
        """Return the class index of each image."""
        index = {label: i for i, label in enumerate(self.classes)}
        return np.array([index[label] for label in self.labels], dtype=np.int64)

    def with_temperature(self, temperature: float) -> PredictionSet:
        """Return the predictions with their logits divided by the temperature."""
        flipped = None if self.flipped is None else apply_temperature(self.flipped, temperature)
        return replace(self, probabilities=apply_temperature(self.probabilities, temperature), flipped=flipped)

    def average_views(self, both: bool) -> PredictionSet:
        """Return the mean prediction for the image and its flipped copy; without `both` that for the image alone."""
        if not both or self.flipped is None:
            return replace(self, flipped=None)
        return replace(self, probabilities=(self.probabilities + self.flipped) / 2, flipped=None)

    @cached_property
    def log_loss(self) -> float:
        """Return the log-loss in nats, with equal weight for all classes."""
        return balanced_log_loss(self.class_indices, self.probabilities)

    def aggregate_bursts(self, weight: float | None) -> PredictionSet:
        return replace(self, probabilities=aggregate_burst(self.probabilities, self.bursts, weight))

    def evaluate(self, bootstrap: int) -> Evaluation:
        return evaluate(self.labels, self.probabilities, self.classes, self.groups, bootstrap=bootstrap)

    @cached_property
    def bursts_and_groups(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the burst and the group of each image as numbers, in the order of their names."""
        bursts, groups = (
            np.unique(np.asarray(names, str), return_inverse=True)[1] for names in (self.bursts, self.groups)
        )
        return bursts, groups

    def class_scores(self, label: str) -> ClassScores:
        """Return the probabilities of one class, with the truth, burst and group of each image."""
        i, (bursts, groups) = self.classes.index(label), self.bursts_and_groups
        return ClassScores(self.class_indices == i, self.probabilities[:, i], bursts, groups, int(groups.max()) + 1)


def choose_temperature(validation: PredictionSet | None) -> float:
    """Return the temperature that calibrates the model; 1 without validation.

    For predictions with both views it calibrates their mean.
    """
    if validation is None:
        return 1.0
    return fit_temperature(
        validation.class_indices,
        lambda temperature: validation.with_temperature(temperature).average_views(True).probabilities,
        len(set(validation.groups)),
    )


def choose_views(validation: PredictionSet) -> tuple[bool, float, PredictionSet]:
    """Return whether the mean of both views has the lower log-loss, its temperature, and the calibrated predictions."""
    candidates = []
    for both in (False, True) if validation.flipped is not None else (False,):
        views = validation if both else validation.average_views(False)
        temperature = choose_temperature(views)
        candidates.append((both, temperature, views.with_temperature(temperature).average_views(both)))
    return min(candidates, key=lambda candidate: candidate[2].log_loss)


def choose_policy(validation: PredictionSet | None, classes_of_interest: Sequence[str], rule: str) -> ReviewPolicy:
    """Choose, on calibrated predictions, the weight of the vote (`rule` auto) and the thresholds of each class.

    `rule` is a value of the setting train.burst_aggregation. Without validation `auto` is the mean, and there are no
    thresholds.
    """
    weight = AGGREGATION_WEIGHTS.get(rule, MEAN)
    if validation is None:
        return ReviewPolicy(weight, tuple(classes_of_interest))
    if rule not in AGGREGATION_WEIGHTS:
        weight = choose_weight(validation.class_indices, validation.probabilities, validation.bursts)
    predictions = validation.aggregate_bursts(weight)
    scores = {label: predictions.class_scores(label) for label in classes_of_interest}
    points = (
        choose_threshold(scores[label], label, unit, recall)
        for label in classes_of_interest
        for unit in UNITS
        for recall in TARGET_RECALLS
    )
    return ReviewPolicy(weight, tuple(classes_of_interest), tuple(point for point in points if point))

"""What a model says about labelled images, and what follows from it before a word of it is believed.

The temperature, the vote and the thresholds are chosen on validation. Test sees them when they are settled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.bootstrap import Floats
from pipelines.evaluation.burst_vote import MAXIMUM, MEAN, NO_VOTE, aggregate_burst, choose_weight
from pipelines.evaluation.calibration import apply_temperature, balanced_log_loss, fit_temperature
from pipelines.evaluation.metrics import evaluate
from pipelines.evaluation.results import Evaluation
from pipelines.evaluation.review_policy import TARGET_RECALLS, UNITS, ClassScores, ReviewPolicy, choose_threshold

RULES = {"mean": MEAN, "max": MAXIMUM, "none": NO_VOTE}  # weights by train.burst_aggregation; `auto` chooses one


@dataclass(frozen=True)
class PredictionSet:
    """Hold labels, probabilities of shape (n, k) in the order of the classes, and what belongs together.

    `flipped`: what the model says of the flipped images, where it was asked.
    """

    labels: Sequence[str]
    probabilities: Floats
    classes: tuple[str, ...]
    bursts: Sequence[str]
    groups: Sequence[str]
    flipped: Floats | None = None

    @cached_property
    def class_indices(self) -> NDArray[np.int64]:
        """Give each image's place among the classes."""
        place = {label: place for place, label in enumerate(self.classes)}
        return np.array([place[label] for label in self.labels], dtype=np.int64)

    def with_temperature(self, temperature: float) -> PredictionSet:
        """Give the answers with their logits divided by the temperature."""
        flipped = None if self.flipped is None else apply_temperature(self.flipped, temperature)
        return replace(self, probabilities=apply_temperature(self.probabilities, temperature), flipped=flipped)

    def average_views(self, both: bool) -> PredictionSet:
        """Give the mean of what is said of the image and of its flipped image, or the first alone."""
        if not both or self.flipped is None:
            return replace(self, flipped=None)
        return replace(self, probabilities=(self.probabilities + self.flipped) / 2, flipped=None)

    @cached_property
    def log_loss(self) -> float:
        """Give the log-loss, in nats, every class counting the same."""
        return balanced_log_loss(self.class_indices, self.probabilities)

    def aggregate_bursts(self, weight: float | None) -> PredictionSet:
        return replace(self, probabilities=aggregate_burst(self.probabilities, self.bursts, weight))

    def evaluate(self, bootstrap: int) -> Evaluation:
        return evaluate(self.labels, self.probabilities, self.classes, self.groups, bootstrap=bootstrap)

    @cached_property
    def bursts_and_groups(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the number of each image's burst and group, in the order of their names."""
        bursts, groups = (
            np.unique(np.asarray(each, str), return_inverse=True)[1] for each in (self.bursts, self.groups)
        )
        return bursts, groups

    def class_scores(self, label: str) -> ClassScores:
        """Give the images as their probability of one class ranks them."""
        place, (bursts, groups) = self.classes.index(label), self.bursts_and_groups
        return ClassScores(
            self.class_indices == place, self.probabilities[:, place], bursts, groups, int(groups.max()) + 1
        )


def choose_temperature(validation: PredictionSet | None) -> float:
    """Give the temperature that makes the model as sure as it is right; 1 where there is no validation.

    Of answers with both views: that which makes their mean so.
    """
    if validation is None:
        return 1.0
    return fit_temperature(
        validation.class_indices,
        lambda temperature: validation.with_temperature(temperature).average_views(True).probabilities,
        len(set(validation.groups)),
    )


def choose_views(validation: PredictionSet) -> tuple[bool, float, PredictionSet]:
    """Say whether the mean of both views is better than the image alone; give its temperature and its answers."""
    tried = []
    for both in (False, True) if validation.flipped is not None else (False,):
        views = validation if both else validation.average_views(False)
        temperature = choose_temperature(views)
        tried.append((both, temperature, views.with_temperature(temperature).average_views(both)))
    return min(tried, key=lambda each: each[2].log_loss)


def choose_policy(validation: PredictionSet | None, interesting: Sequence[str], rule: str) -> ReviewPolicy:
    """Choose, on calibrated answers, the weight of the vote (`rule` auto) and the thresholds of each class.

    `rule` is a value of the setting train.burst_aggregation. Without validation `auto` is the mean, and there are no thresholds.
    """
    weight = RULES.get(rule, MEAN)
    if validation is None:
        return ReviewPolicy(weight, tuple(interesting))
    if rule not in RULES:
        weight = choose_weight(validation.class_indices, validation.probabilities, validation.bursts)
    voted = validation.aggregate_bursts(weight)
    ranked = {label: voted.class_scores(label) for label in interesting}
    points = (
        choose_threshold(ranked[label], label, unit, recall)
        for label in interesting
        for unit in UNITS
        for recall in TARGET_RECALLS
    )
    return ReviewPolicy(weight, tuple(interesting), tuple(point for point in points if point))

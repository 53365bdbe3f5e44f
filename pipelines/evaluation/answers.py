"""What a model says about labelled pictures, and what follows from it before a word of it is believed.

The temperature, the vote and the thresholds are chosen on validation. Test sees them when they are settled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.bootstrap import Floats
from pipelines.evaluation.calibration import balanced_log_loss, fit_temperature, temper
from pipelines.evaluation.decision import Decision
from pipelines.evaluation.figures import Evaluation
from pipelines.evaluation.metrics import evaluate
from pipelines.evaluation.operating_point import RECALLS, UNITS, Ranked, choose
from pipelines.evaluation.vote import MAXIMUM, MEAN, NO_VOTE, choose_weight, vote

RULES = {"mean": MEAN, "max": MAXIMUM, "none": NO_VOTE}  # weights by train.vote; `auto` chooses one


@dataclass(frozen=True)
class Answers:
    """Hold labels, probabilities of shape (n, k) in the order of the classes, and what belongs together.

    `mirrored`: what the model says of the mirrored pictures, where it was asked.
    """

    labels: Sequence[str]
    probabilities: Floats
    classes: tuple[str, ...]
    bursts: Sequence[str]
    groups: Sequence[str]
    mirrored: Floats | None = None

    @cached_property
    def truth(self) -> NDArray[np.int64]:
        """Give each picture's place among the classes."""
        place = {label: place for place, label in enumerate(self.classes)}
        return np.array([place[label] for label in self.labels], dtype=np.int64)

    def tempered(self, temperature: float) -> Answers:
        """Give the answers with their logits divided by the temperature."""
        mirrored = None if self.mirrored is None else temper(self.mirrored, temperature)
        return replace(self, probabilities=temper(self.probabilities, temperature), mirrored=mirrored)

    def of_views(self, both: bool) -> Answers:
        """Give the mean of what is said of the picture and of its mirror image, or the first alone."""
        if not both or self.mirrored is None:
            return replace(self, mirrored=None)
        return replace(self, probabilities=(self.probabilities + self.mirrored) / 2, mirrored=None)

    @cached_property
    def loss(self) -> float:
        """Give the log-loss, in nats, every class counting the same."""
        return balanced_log_loss(self.truth, self.probabilities)

    def voted(self, weight: float | None) -> Answers:
        return replace(self, probabilities=vote(self.probabilities, self.bursts, weight))

    def evaluate(self, bootstrap: int) -> Evaluation:
        return evaluate(self.labels, self.probabilities, self.classes, self.groups, bootstrap=bootstrap)

    @cached_property
    def bursts_and_groups(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the number of each picture's burst and group, in the order of their names."""
        bursts, groups = (
            np.unique(np.asarray(each, str), return_inverse=True)[1] for each in (self.bursts, self.groups)
        )
        return bursts, groups

    def ranked(self, label: str) -> Ranked:
        """Give the pictures as their probability of one class ranks them."""
        place, (bursts, groups) = self.classes.index(label), self.bursts_and_groups
        return Ranked(self.truth == place, self.probabilities[:, place], bursts, groups, int(groups.max()) + 1)


def temperature_of(validation: Answers | None) -> float:
    """Give the temperature that makes the model as sure as it is right; 1 where there is no validation.

    Of answers with both views: that which makes their mean so.
    """
    if validation is None:
        return 1.0
    return fit_temperature(
        validation.truth,
        lambda temperature: validation.tempered(temperature).of_views(True).probabilities,
        len(set(validation.groups)),
    )


def best_views(validation: Answers) -> tuple[bool, float, Answers]:
    """Say whether the mean of both views is better than the picture alone; give its temperature and its answers."""
    tried = []
    for both in (False, True) if validation.mirrored is not None else (False,):
        views = validation if both else validation.of_views(False)
        temperature = temperature_of(views)
        tried.append((both, temperature, views.tempered(temperature).of_views(both)))
    return min(tried, key=lambda each: each[2].loss)


def decide(validation: Answers | None, interesting: Sequence[str], rule: str) -> Decision:
    """Choose, on calibrated answers, the weight of the vote (`rule` auto) and the thresholds of each class.

    `rule` is a value of the setting train.vote. Without validation `auto` is the mean, and there are no thresholds.
    """
    weight = RULES.get(rule, MEAN)
    if validation is None:
        return Decision(weight, tuple(interesting))
    if rule not in RULES:
        weight = choose_weight(validation.truth, validation.probabilities, validation.bursts)
    voted = validation.voted(weight)
    ranked = {label: voted.ranked(label) for label in interesting}
    points = (
        choose(ranked[label], label, unit, recall) for label in interesting for unit in UNITS for recall in RECALLS
    )
    return Decision(weight, tuple(interesting), tuple(point for point in points if point))

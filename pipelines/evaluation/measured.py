"""What was measured of a recipe: on the test split, or by cross-validation with all that is chosen chosen again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.evaluation.answers import Answers
from pipelines.evaluation.bootstrap import Floats
from pipelines.evaluation.decision import Decision
from pipelines.evaluation.operating_point import OperatingPoint, Review, measure


@dataclass(frozen=True)
class Part:
    """Hold calibrated answers about images that neither the model nor the decision has seen, and those before both."""

    answers: Answers
    raw: Answers  # before the temperature
    decision: Decision


@dataclass(frozen=True)
class Measured:
    """Hold the parts of an evaluation: one of the test split, or one of each fold of a cross-validation."""

    parts: tuple[Part, ...]
    folds: int = 0  # of the cross-validation; 0: the test split

    @property
    def answers(self) -> Answers:
        return _joined([part.answers for part in self.parts])

    @property
    def raw(self) -> Answers:
        return _joined([part.raw for part in self.parts])

    @property
    def voted(self) -> Answers:
        """Return the answers after the vote of each burst, by the weight that was chosen without its fold."""
        return _joined([part.answers.voted(part.decision.weight) for part in self.parts])

    def reviews(self, decision: Decision, bootstrap: int) -> tuple[Review, ...]:
        """Return what each operating point of `decision` costs and finds.

        By cross-validation every image is held against the threshold that was chosen without its fold.
        """
        voted = self.voted
        ranked = {label: voted.ranked(label) for label in decision.interesting}
        pairs = []
        for point in decision.points:
            scores = ranked[point.label].scores - self._thresholds(point) + point.threshold
            pairs.append((point, replace(ranked[point.label], scores=scores)))
        return measure(pairs, bootstrap=bootstrap)

    def _thresholds(self, point: OperatingPoint) -> Floats:
        """Return the threshold for each image; 0, so that all are looked at, where a fold's decision has none."""
        key = point.label, point.unit, point.recall
        found = []
        for part in self.parts:
            own = {(each.label, each.unit, each.recall): each.threshold for each in part.decision.points}
            found.append(np.full(len(part.answers.labels), own.get(key, 0.0)))
        return np.concatenate(found)


def method_of(folds: int) -> str:
    """Return the name of the way in which something was measured."""
    return f"{folds}-fold cross-validation" if folds else "test"


def _joined(parts: Sequence[Answers]) -> Answers:
    return Answers(
        [label for each in parts for label in each.labels],
        np.concatenate([each.probabilities for each in parts]),
        parts[0].classes,
        [burst for each in parts for burst in each.bursts],
        [group for each in parts for group in each.groups],
    )

"""The operating point: from which probability on must a person look, to miss one animal in a hundred at most?

A threshold is chosen on validation, and what it costs and finds is measured on test, on groups that neither the model
nor the threshold has seen. The price is the review share: the share of all pictures that reach the threshold. What is
found is counted in pictures, in bursts and in groups (encounters): one of these is found where at least one of its
pictures with the class is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.evaluation.bootstrap import Floats, draws, interval
from pipelines.evaluation.figures import Interval

RECALLS = (0.99, 0.95)
UNITS = ("picture", "burst", "group")
UNINTERESTING = ("blank", "empty")


@dataclass(frozen=True)
class OperatingPoint:
    """Hold a threshold on the probability of one class, and of how many units with the class it was chosen.

    With fewer than 1 / (1 - recall) units every one of them had to be found.
    """

    label: str
    unit: str
    recall: float
    threshold: float
    units: int


@dataclass(frozen=True)
class Review:
    """Hold what an operating point costs and finds on other pictures, with intervals over groups."""

    point: OperatingPoint
    share: Interval
    recall: Interval
    units: int

    def to_dict(self) -> dict[str, Any]:
        """Give plain dicts and numbers, ready for json.dumps."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Review:
        """Give back what `to_dict` took apart."""
        intervals = {name: Interval(**values[name]) for name in ("share", "recall")}
        return cls(point=OperatingPoint(**values["point"]), units=values["units"], **intervals)


@dataclass(frozen=True)
class Ranked:
    """Hold pictures with their truth, what belongs together, and each picture's probability of one class."""

    is_class: NDArray[np.bool_]
    scores: Floats
    bursts: Sequence[str]
    groups: Sequence[str]

    def units(self, unit: str) -> tuple[Floats, NDArray[np.int64]]:
        """Give, for each unit with the class, the highest score among its pictures with the class, and its group."""
        names = {"picture": np.arange(len(self.scores)), "burst": self.bursts, "group": self.groups}[unit]
        _, place = np.unique(np.asarray(names)[self.is_class], return_inverse=True)
        count = int(place.max()) + 1 if len(place) else 0
        best = np.full(count, -np.inf)
        np.maximum.at(best, place, self.scores[self.is_class])
        group = np.zeros(count, dtype=np.int64)
        group[place] = self.group_places[self.is_class]
        return best, group

    @property
    def group_places(self) -> NDArray[np.int64]:
        """Give the place of each picture's group among all groups in the order of their names."""
        return np.unique(np.asarray(self.groups, dtype=str), return_inverse=True)[1]


def classes_of_interest(classes: Iterable[str], wanted: Sequence[str]) -> list[str]:
    """Give the wanted classes that there are; without a wish all but `blank` and `empty`."""
    if wanted:
        return [name for name in classes if name in wanted]
    return [name for name in classes if name.lower() not in UNINTERESTING]


def choose(pictures: Ranked, label: str, unit: str, recall: float) -> OperatingPoint | None:
    """Give the highest threshold that finds `recall` of the units with the class; None where there are none."""
    best, _ = pictures.units(unit)
    if not len(best):
        return None
    wanted = int(np.ceil(recall * len(best) - 1e-9))  # .95 * 20 is a little over 19
    return OperatingPoint(label, unit, recall, float(np.sort(best)[::-1][wanted - 1]), len(best))


def measure(
    point: OperatingPoint, pictures: Ranked, *, bootstrap: int = 1000, seed: int = 0, confidence: float = 0.95
) -> Review:
    """Give what the point costs and finds on these pictures, with bootstrap intervals over the groups.

    The recall is None where no unit has the class.
    """
    best, group = pictures.units(point.unit)
    count = int(pictures.group_places.max()) + 1
    looked_at = _by_group(pictures.scores >= point.threshold, pictures.group_places, count)
    rows = _by_group(np.ones(len(pictures.scores)), pictures.group_places, count)
    found, units = _by_group(best >= point.threshold, group, count), _by_group(np.ones(len(best)), group, count)
    drawn = [
        (_ratio(looked_at @ each, rows @ each), _ratio(found @ each, units @ each))
        for each in draws(count, bootstrap, seed)
    ]
    shares, recalls = (np.concatenate(each) for each in zip(*drawn, strict=True)) if drawn else (np.zeros(0),) * 2
    value = looked_at.sum() / rows.sum()
    recall = found.sum() / units.sum() if len(best) else np.nan
    return Review(
        point,
        interval(float(value), shares, count, confidence, is_share=True),
        interval(float(recall), recalls, len(np.unique(group)), confidence, is_share=True),
        len(best),
    )


def _by_group(values: ArrayLike, places: NDArray[np.int64], count: int) -> Floats:
    return np.bincount(places, weights=np.asarray(values, dtype=np.float64), minlength=count).astype(np.float64)


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)

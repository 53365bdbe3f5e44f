"""What is decided with a model version's probabilities: how a burst votes, and from where on a person must look."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from pipelines.evaluation.bootstrap import Floats, Ints, counts_by_group, percentile_interval, resample_groups
from pipelines.evaluation.ranking import safe_divide
from pipelines.evaluation.results import Interval


@dataclass(frozen=True)
class ReviewPolicy:
    """Hold the weight of the maximum in a burst's vote (the rest is the mean's), and operating points on the votes.

    A weight of None means no vote: every image keeps its own probabilities.

    A class of interest of which no image was held out has no point. `both_views`: the probabilities are the
    mean of those of the image and of its flipped image.
    """

    max_weight: float | None = 0.0
    classes_of_interest: tuple[str, ...] = ()
    operating_points: tuple[OperatingPoint, ...] = ()
    average_flip: bool = False

    def thresholds(self, unit: str, recall: float) -> dict[str, float]:
        """Give the probability of each class of interest below which an image may be dismissed, where it is known."""
        return {
            each.label: each.threshold
            for each in self.operating_points
            if (each.unit, each.recall) == (unit, recall) and each.is_reliable
        }

    def classes_without_threshold(self, unit: str, recall: float) -> list[str]:
        """Give the classes of interest by which no image may be dismissed: too few groups with them were held out."""
        known = self.thresholds(unit, recall)
        return [label for label in self.classes_of_interest if label not in known]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | None) -> ReviewPolicy:
        """Give back what `to_json` wrote; None, of a version from before there were decisions: the mean, no points."""
        if text is None:
            return cls()
        values = json.loads(text)
        points = tuple(OperatingPoint(**point) for point in values["operating_points"])
        return cls(values["max_weight"], tuple(values["classes_of_interest"]), points, values["average_flip"])


TARGET_RECALLS = (0.99, 0.95)
UNITS = ("image", "burst", "group")
BLANK_LABELS = ("blank", "empty", "nothing", "none")  # nobody looks for these


@dataclass(frozen=True)
class OperatingPoint:
    """Hold a threshold on the probability of one class, and on how many units and groups with the class it rests."""

    label: str
    unit: str
    recall: float
    threshold: float
    units: int
    groups: int

    @property
    def min_groups(self) -> int:
        """Give 1 / (1 - recall): of fewer groups all had to be found."""
        return int(np.ceil(1 / (1 - self.recall) - 1e-9))

    @property
    def is_reliable(self) -> bool:
        """Say whether images may be dismissed by it: score takes no other."""
        return self.groups >= self.min_groups


@dataclass(frozen=True)
class OperatingPointResult:
    """Hold what an operating point costs and finds on other images, with intervals over groups."""

    point: OperatingPoint
    share: Interval
    recall: Interval
    units: int

    def to_dict(self) -> dict[str, Any]:
        """Give plain dicts and numbers, ready for json.dumps."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OperatingPointResult:
        """Give back what `to_dict` took apart."""
        intervals = {name: Interval(**values[name]) for name in ("share", "recall")}
        return cls(point=OperatingPoint(**values["point"]), units=values["units"], **intervals)


@dataclass(frozen=True)
class ClassScores:
    """Hold images' truth and their probability of one class, and the number of each one's burst and group.

    Groups are counted from 0 to `group_count` - 1.
    """

    is_class: NDArray[np.bool_]
    scores: Floats
    bursts: Ints
    groups: Ints
    group_count: int

    def max_score_by_unit(self, unit: str) -> tuple[Floats, Ints]:
        """Give, for each unit with the class, the highest score of its images with the class, and its group."""
        rows = np.flatnonzero(self.is_class)
        numbers = rows if unit == "image" else {"burst": self.bursts, "group": self.groups}[unit][rows]
        order = np.lexsort((self.scores[rows], numbers))  # the highest of each unit comes last
        is_last = np.append(np.diff(numbers[order]) != 0, True)[: len(rows)]
        chosen = rows[order[is_last]]
        return self.scores[chosen], self.groups[chosen]


def classes_of_interest(classes: Iterable[str], wanted: Sequence[str]) -> list[str]:
    """Give the wanted classes that there are; without a wish all but those that say that there is nothing to see."""
    if wanted:
        return [name for name in classes if name in wanted]
    return [name for name in classes if not is_blank(name)]


def is_blank(label: str) -> bool:
    """Say whether a label says that there is nothing to see."""
    return label.strip().lower() in BLANK_LABELS


def drop_redundant_units(reviews: Sequence[OperatingPointResult]) -> tuple[OperatingPointResult, ...]:
    """Leave out units that tell nothing new: bursts where every image is one, groups where every burst is one."""
    told: dict[str, list[Any]] = {}
    for unit in UNITS:
        of_unit = [each for each in reviews if each.point.unit == unit]
        figures = [replace(each, point=replace(each.point, unit="")) for each in of_unit]
        if figures not in told.values():
            told[unit] = figures
    return tuple(each for each in reviews if each.point.unit in told)


def choose_threshold(images: ClassScores, label: str, unit: str, recall: float) -> OperatingPoint | None:
    """Give the highest threshold that finds `recall` of the units with the class; None where there are none."""
    best, groups = images.max_score_by_unit(unit)
    if not len(best):
        return None
    wanted = int(np.ceil(recall * len(best) - 1e-9))  # .95 * 20 is a little over 19
    threshold = float(np.sort(best)[::-1][wanted - 1])
    return OperatingPoint(label, unit, recall, threshold, len(best), len(np.unique(groups)))


def measure_points(
    points: Sequence[tuple[OperatingPoint, ClassScores]],
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[OperatingPointResult, ...]:
    """Give what each point costs and finds, with bootstrap intervals over the groups, drawn once for all of them.

    The points are of the same images, each as its class ranks them. A recall is None where no unit has the class.
    """
    if not points:
        return ()
    count = points[0][1].group_count
    best = [images.max_score_by_unit(point.unit) for point, images in points]
    looked_at = _table([images.groups[images.scores >= point.threshold] for point, images in points], count)
    units = _table([groups for _, groups in best], count)
    is_found = [scores >= point.threshold for (point, _), (scores, _) in zip(points, best, strict=True)]
    found = _table([groups[which] for (_, groups), which in zip(best, is_found, strict=True)], count)
    rows = _table([points[0][1].groups], count)

    def figures(drawn: Floats) -> tuple[Floats, Floats]:
        whole = rows @ drawn
        return safe_divide(looked_at @ drawn, np.broadcast_to(whole, (len(points), drawn.shape[1]))), safe_divide(
            found @ drawn, units @ drawn
        )

    shares, recalls = figures(np.ones((count, 1)))
    drawn = [figures(each) for each in resample_groups(count, bootstrap, seed, len(points))]
    nothing = np.zeros((len(points), 0))
    resampled = [np.concatenate([nothing, *each], axis=1) for each in (zip(*drawn, strict=True) if drawn else ((), ()))]

    def bounded(value: float, samples: Floats, groups: int) -> Interval:
        return percentile_interval(value, samples, groups, confidence, is_share=True)

    return tuple(
        OperatingPointResult(
            point,
            bounded(float(shares[place, 0]), resampled[0][place], count),
            bounded(float(recalls[place, 0]), resampled[1][place], len(np.unique(best[place][1]))),
            len(best[place][0]),
        )
        for place, (point, _) in enumerate(points)
    )


def _table(groups: Sequence[Ints], count: int) -> csr_matrix:
    """Count, for each list of groups, how often each group is in it."""
    keys = np.repeat(np.arange(len(groups)), [len(each) for each in groups])
    return counts_by_group(keys, np.concatenate(groups), (len(groups), count))

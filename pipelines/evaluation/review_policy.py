"""Review policy of a model version: how bursts vote, and the operating points above which images need review."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.bootstrap import Floats, Ints, counts_by_group, percentile_interval, resample_groups
from pipelines.evaluation.results import Interval
from pipelines.metrics.base import safe_divide

if TYPE_CHECKING:  # see bootstrap
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class ReviewPolicy:
    """The weight of the maximum in the burst vote (the mean has the rest), and operating points on burst scores.

    A weight of None means no vote: each image keeps its own probabilities. A class of interest without a held-out
    image has no operating point. `average_flip`: probabilities are the mean of those of the image and of its flipped
    copy.
    """

    max_weight: float | None = 0.0
    classes_of_interest: tuple[str, ...] = ()
    operating_points: tuple[OperatingPoint, ...] = ()
    average_flip: bool = False

    def thresholds(self, unit: str, recall: float) -> dict[str, float]:
        """Return the reliable thresholds by class of interest: below all of them an image needs no review."""
        return {
            each.label: each.threshold
            for each in self.operating_points
            if (each.unit, each.recall) == (unit, recall) and each.is_reliable
        }

    def classes_without_threshold(self, unit: str, recall: float) -> list[str]:
        """Return the classes of interest without a reliable threshold: too few groups with them were held out."""
        thresholds = self.thresholds(unit, recall)
        return [label for label in self.classes_of_interest if label not in thresholds]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | None) -> ReviewPolicy:
        """Return the policy that `to_json` wrote; for None, of a version without a policy: the mean, no points."""
        if text is None:
            return cls()
        values = json.loads(text)
        points = tuple(OperatingPoint(**point) for point in values["operating_points"])
        return cls(values["max_weight"], tuple(values["classes_of_interest"]), points, values["average_flip"])


TARGET_RECALLS = (0.99, 0.95)
UNITS = ("image", "burst", "group")
BLANK_LABELS = ("blank", "empty", "nothing", "none")  # never of interest


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold on the probability of one class, and the numbers of units and groups that it was chosen on."""

    label: str
    unit: str
    recall: float
    threshold: float
    units: int
    groups: int

    @property
    def min_groups(self) -> int:
        """Return 1 / (1 - recall): with fewer groups every one of them had to be found."""
        return int(np.ceil(1 / (1 - self.recall) - 1e-9))

    @property
    def is_reliable(self) -> bool:
        """Whether score uses the point: it was chosen on enough groups."""
        return self.groups >= self.min_groups


@dataclass(frozen=True)
class OperatingPointResult:
    """Review share and recall of an operating point on other images, with intervals over groups."""

    point: OperatingPoint
    share: Interval
    recall: Interval
    units: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts and numbers, ready for json.dumps."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OperatingPointResult:
        """Return the result that `to_dict` has converted."""
        intervals = {name: Interval(**values[name]) for name in ("share", "recall")}
        return cls(point=OperatingPoint(**values["point"]), units=values["units"], **intervals)


@dataclass(frozen=True)
class ClassScores:
    """Truth and probability of one class by image, and each image's burst and group as numbers.

    Groups are numbered from 0 to `group_count` - 1.
    """

    is_class: NDArray[np.bool_]
    scores: Floats
    bursts: Ints
    groups: Ints
    group_count: int

    def max_score_by_unit(self, unit: str) -> tuple[Floats, Ints]:
        """Return, for each unit with the class, the highest score of its images with the class, and its group."""
        rows = np.flatnonzero(self.is_class)
        numbers = rows if unit == "image" else {"burst": self.bursts, "group": self.groups}[unit][rows]
        order = np.lexsort((self.scores[rows], numbers))  # the highest of each unit comes last
        is_last = np.append(np.diff(numbers[order]) != 0, True)[: len(rows)]
        best = rows[order[is_last]]
        return self.scores[best], self.groups[best]


def select_classes_of_interest(classes: Iterable[str], requested: Sequence[str]) -> list[str]:
    """Return the requested classes that exist; if none are requested, all except blank labels."""
    if requested:
        return [name for name in classes if name in requested]
    return [name for name in classes if not is_blank(name)]


def is_blank(label: str) -> bool:
    """Return whether a label means that nothing is visible."""
    return label.strip().lower() in BLANK_LABELS


def drop_redundant_units(results: Sequence[OperatingPointResult]) -> tuple[OperatingPointResult, ...]:
    """Leave out units with the same results: bursts if each has one image, groups if each has one burst."""
    kept: dict[str, list[Any]] = {}
    for unit in UNITS:
        for_unit = [result for result in results if result.point.unit == unit]
        without_unit = [replace(result, point=replace(result.point, unit="")) for result in for_unit]
        if without_unit not in kept.values():
            kept[unit] = without_unit
    return tuple(result for result in results if result.point.unit in kept)


def choose_threshold(images: ClassScores, label: str, unit: str, recall: float) -> OperatingPoint | None:
    """Return the highest threshold that finds `recall` of the units with the class; None without such units."""
    best, groups = images.max_score_by_unit(unit)
    if not len(best):
        return None
    required = int(np.ceil(recall * len(best) - 1e-9))  # .95 * 20 is a little over 19
    threshold = float(np.sort(best)[::-1][required - 1])
    return OperatingPoint(label, unit, recall, threshold, len(best), len(np.unique(groups)))


def measure_points(
    points: Sequence[tuple[OperatingPoint, ClassScores]],
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[OperatingPointResult, ...]:
    """Return review share and recall of each point, with bootstrap intervals over groups that are drawn once for all.

    The scores of all points are of the same images. A recall is None where no unit has the class.
    """
    if not points:
        return ()
    count = points[0][1].group_count
    best = [images.max_score_by_unit(point.unit) for point, images in points]
    reviewed = _count_by_group([images.groups[images.scores >= point.threshold] for point, images in points], count)
    units = _count_by_group([groups for _, groups in best], count)
    is_found = [scores >= point.threshold for (point, _), (scores, _) in zip(points, best, strict=True)]
    found = _count_by_group([groups[which] for (_, groups), which in zip(best, is_found, strict=True)], count)
    rows = _count_by_group([points[0][1].groups], count)

    def measure(drawn: Floats) -> tuple[Floats, Floats]:
        whole = rows @ drawn
        shares = safe_divide(reviewed @ drawn, np.broadcast_to(whole, (len(points), drawn.shape[1])))
        return shares, safe_divide(found @ drawn, units @ drawn)

    shares, recalls = measure(np.ones((count, 1)))
    drawn = [measure(chunk) for chunk in resample_groups(count, bootstrap, seed, len(points))]
    nothing = np.zeros((len(points), 0))
    resampled = [np.concatenate([nothing, *each], axis=1) for each in (zip(*drawn, strict=True) if drawn else ((), ()))]

    def interval(value: float, samples: Floats, groups: int) -> Interval:
        return percentile_interval(value, samples, groups, confidence, is_proportion=True)

    return tuple(
        OperatingPointResult(
            point,
            interval(float(shares[i, 0]), resampled[0][i], count),
            interval(float(recalls[i, 0]), resampled[1][i], len(np.unique(best[i][1]))),
            len(best[i][0]),
        )
        for i, (point, _) in enumerate(points)
    )


def _count_by_group(groups: Sequence[Ints], count: int) -> csr_matrix:
    """Count how often each group is in each list; shape (lists, count)."""
    keys = np.repeat(np.arange(len(groups)), [len(each) for each in groups])
    return counts_by_group(keys, np.concatenate(groups), (len(groups), count))

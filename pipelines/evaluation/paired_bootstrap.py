"""Paired bootstrap: is one model better than another, or is the difference due to the sample of encounters?

Both models predict the same images, and each resample draws groups once for both (Koehn, 2004, Statistical
significance tests for machine translation evaluation): images that are hard for one model are mostly hard for the
other, so the difference varies far less than either metric.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from pipelines.evaluation.bootstrap import Floats, counts_by_group, percentile_interval, resample_groups
from pipelines.evaluation.predictions import PredictionSet
from pipelines.evaluation.results import Interval
from pipelines.metrics.base import Counts
from pipelines.metrics.registry import all_metrics

TOLERANCE = 1e-12  # summation order changes the last digits


@dataclass(frozen=True)
class PairedComparison:
    """One metric of two models on the same images, and the candidate's lead.

    `win_rate` is the fraction of resamples in which the candidate is strictly higher; 0 with fewer than two groups.
    `recalls` are those of the candidate and of the champion for each class that has an image.
    """

    candidate: float
    champion: float
    difference: Interval
    win_rate: float
    recalls: dict[str, tuple[float, float]]
    images: int
    groups: int

    @property
    def is_higher(self) -> bool:
        return self.candidate - self.champion > TOLERANCE


def paired_bootstrap(
    candidate: PredictionSet,
    champion: PredictionSet,
    metric: str,
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> PairedComparison:
    """Compare two models' predicted classes in a metric of the confusion matrix, such as balanced_accuracy.

    Row order does not matter: predictions are counted by group, and groups are numbered by name. Raises ValueError if
    the images or the classes differ.
    """
    _require_same_images(candidate, champion)
    compute = all_metrics()[metric].compute
    counts = [_GroupCounts.from_predictions(predictions) for predictions in (candidate, champion)]
    groups = counts[0].groups
    values = [count.draw(np.ones((groups, 1))) for count in counts]
    ours, theirs = (float(compute(value)[0]) for value in values)
    chunks = [
        compute(counts[0].draw(drawn)) - compute(counts[1].draw(drawn))
        for drawn in resample_groups(groups, bootstrap, seed, len(candidate.classes) ** 2)
    ]
    differences = np.concatenate([np.zeros(0), *chunks])
    recalls = zip(candidate.classes, *(value.recalls[:, 0].tolist() for value in values), strict=True)
    return PairedComparison(
        ours,
        theirs,
        percentile_interval(ours - theirs, differences, groups, confidence),
        float((differences > TOLERANCE).mean()) if groups > 1 and differences.size else 0.0,
        {label: (own, their) for label, own, their in recalls if own == own},  # NaN: no image has the class
        len(candidate.labels),
        groups,
    )


def _require_same_images(one: PredictionSet, other: PredictionSet) -> None:
    if one.classes != other.classes:
        raise ValueError(f"The predictions have different classes: {one.classes} and {other.classes}.")
    if sorted(zip(one.groups, one.labels, strict=True)) != sorted(zip(other.groups, other.labels, strict=True)):
        raise ValueError(
            f"The predictions are not for the same images: {len(one.labels):,} and {len(other.labels):,} of them, "
            "whose labels differ by group."
        )


@dataclass(frozen=True)
class _GroupCounts:
    """Confusion counts by group, shape (k * k, groups)."""

    cells: csr_matrix
    classes: int
    groups: int

    @classmethod
    def from_predictions(cls, predictions: PredictionSet) -> _GroupCounts:
        k, (_, groups) = len(predictions.classes), predictions.bursts_and_groups
        count = int(groups.max()) + 1
        index = predictions.class_indices * k + predictions.probabilities.argmax(axis=1)
        cells = counts_by_group(index, groups, (k * k, count))
        return cls(cells, k, count)

    def draw(self, drawn: Floats) -> Counts:
        return Counts((self.cells @ drawn).reshape(self.classes, self.classes, -1))

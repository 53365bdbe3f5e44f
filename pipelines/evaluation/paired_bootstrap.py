"""Paired bootstrap: is one model better than another, or were the encounters drawn to its liking?

Both are asked about the same images, and each resample draws groups once, for both (Koehn, 2004, Statistical
significance tests for machine translation evaluation): what is hard for the one is mostly hard for the other, so their
difference moves far less than either figure does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from pipelines.evaluation.bootstrap import Floats, counts_by_group, percentile_interval, resample_groups
from pipelines.evaluation.metrics import confusion_metrics
from pipelines.evaluation.predictions import PredictionSet
from pipelines.evaluation.results import Interval

TIE = 1e-12  # sums in another order differ in their last digits


@dataclass(frozen=True)
class PairedComparison:
    """Hold what two models reach in one metric on the same images, and by how much ours is higher.

    `share_better` is the share of resamples in which ours is higher, and not just as high; 0 where there are fewer than
    two groups to draw from. `recalls` hold ours and theirs for each class that has an image.
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
        return self.candidate - self.champion > TIE


def paired_bootstrap(
    ours: PredictionSet,
    theirs: PredictionSet,
    metric: str,
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> PairedComparison:
    """Compare two models' most probable classes in accuracy, balanced_accuracy or macro_f1.

    The answers may come in any order: they are counted by group, and groups are numbered by name. Raises ValueError
    where they are not of the same images, or not among the same classes.
    """
    _require_same(ours, theirs)
    counts = [_Counts.of(each) for each in (ours, theirs)]
    groups = counts[0].groups
    once = [each.figures(np.ones((groups, 1))) for each in counts]
    mine, other = (float(each[metric][0]) for each in once)
    chunks = [
        counts[0].figures(drawn)[metric] - counts[1].figures(drawn)[metric]
        for drawn in resample_groups(groups, bootstrap, seed, len(ours.classes) ** 2)
    ]
    differences = np.concatenate([np.zeros(0), *chunks])
    recalls = zip(ours.classes, *(each["recall"][:, 0].tolist() for each in once), strict=True)
    return PairedComparison(
        mine,
        other,
        percentile_interval(mine - other, differences, groups, confidence),
        float((differences > TIE).mean()) if groups > 1 and differences.size else 0.0,
        {label: (own, their) for label, own, their in recalls if own == own},  # NaN: no image has the class
        len(ours.labels),
        groups,
    )


def _require_same(ours: PredictionSet, theirs: PredictionSet) -> None:
    if ours.classes != theirs.classes:
        raise ValueError(f"The answers are among other classes: {ours.classes} and {theirs.classes}.")
    if sorted(zip(ours.groups, ours.labels, strict=True)) != sorted(zip(theirs.groups, theirs.labels, strict=True)):
        raise ValueError(
            f"The answers are not of the same images: {len(ours.labels):,} and {len(theirs.labels):,} of them, whose "
            "labels differ by group."
        )


@dataclass(frozen=True)
class _Counts:
    """Hold how often each class was taken for each, by group."""

    cells: csr_matrix
    classes: int
    groups: int

    @classmethod
    def of(cls, answers: PredictionSet) -> _Counts:
        k, (_, groups) = len(answers.classes), answers.bursts_and_groups
        count = int(groups.max()) + 1
        cells = counts_by_group(
            answers.class_indices * k + answers.probabilities.argmax(axis=1), groups, (k * k, count)
        )
        return cls(cells, k, count)

    def figures(self, drawn: Floats) -> dict[str, Floats]:
        return confusion_metrics((self.cells @ drawn).reshape(self.classes, self.classes, -1))

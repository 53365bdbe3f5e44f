"""Figures of a ranking: images in the order of one class's probability.

Only places where an image of the class stands can be thresholds. So images are binned between those places
once, and a resample is one sparse product and one running sum, exact and without sorting again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from pipelines.evaluation.bootstrap import Floats, Ints, counts_by_group


@dataclass(frozen=True)
class Ranking:
    """Hold counts by threshold (highest first) and group: of all images, and of those with the class."""

    retrieved: csr_matrix
    relevant: csr_matrix

    def curve(self, drawn: Floats) -> tuple[Floats, Floats]:
        """Give, by threshold and resample, how many images reach it, and how many have the class."""
        return np.cumsum(self.retrieved @ drawn, axis=0), np.cumsum(self.relevant @ drawn, axis=0)


def build_ranking(scores: Floats, is_class: NDArray[np.bool_], groups: Ints, group_count: int) -> Ranking:
    """Bin the images by the scores of the images that have the class; equal scores share a bin."""
    thresholds = np.unique(-scores[is_class])
    bins = np.searchsorted(thresholds, -scores)  # the first threshold that the image reaches
    is_seen = bins < len(thresholds)
    shape = (len(thresholds), group_count)
    return Ranking(
        counts_by_group(bins[is_seen], groups[is_seen], shape),
        counts_by_group(bins[is_class], groups[is_class], shape),
    )


def average_precision(seen: Floats, found: Floats) -> Floats:
    """Give the area under precision and recall as a sum of steps, by resample; NaN without the class.

    The same definition as scikit-learn's average_precision_score: no interpolation.
    """
    if not len(found):
        return np.full(found.shape[1], np.nan)
    steps = np.diff(found, axis=0, prepend=0.0)
    area = (steps * safe_divide(found, seen, empty=0.0)).sum(axis=0)
    return safe_divide(area, found[-1])


def review_fractions(seen: Floats, found: Floats, rows: Floats, recall: float) -> Floats:
    """Give, by resample, the share of all images to look at until `recall` of the class is seen."""
    if not len(found):
        return np.full(found.shape[1], np.nan)
    is_reached = found >= recall * found[-1] - 1e-9  # .95 * 20 is a little over 19
    looked_at = np.take_along_axis(seen, is_reached.argmax(axis=0)[None], axis=0)[0]
    return np.where(found[-1] > 0, looked_at / rows, np.nan)


def safe_divide(part: Floats, whole: Floats, empty: float = np.nan) -> Floats:
    """Give part / whole, and `empty` where the whole is zero."""
    return np.divide(part, whole, out=np.full(np.shape(part), empty), where=np.asarray(whole) > 0)

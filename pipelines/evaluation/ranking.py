"""Ranking metrics: images in the order of one class's probability.

Only the scores of images of the class can be thresholds. So images are binned between those scores once, and a
resample is one sparse product and one cumulative sum: exact, and without sorting again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from pipelines.evaluation.bootstrap import Floats, Ints, counts_by_group
from pipelines.metrics.base import safe_divide


@dataclass(frozen=True)
class Ranking:
    """Counts by threshold (highest first) and group: of all images, and of those with the class."""

    retrieved: csr_matrix
    relevant: csr_matrix

    def curve(self, drawn: Floats) -> tuple[Floats, Floats]:
        """Return, by threshold and resample, the number of images that reach it, and of those with the class."""
        return np.cumsum(self.retrieved @ drawn, axis=0), np.cumsum(self.relevant @ drawn, axis=0)


def build_ranking(scores: Floats, is_class: NDArray[np.bool_], groups: Ints, group_count: int) -> Ranking:
    """Bin the images by the scores of the images that have the class; equal scores are in one bin."""
    thresholds = np.unique(-scores[is_class])
    bins = np.searchsorted(thresholds, -scores)  # the first threshold that the image reaches
    is_retrieved = bins < len(thresholds)
    shape = (len(thresholds), group_count)
    return Ranking(
        counts_by_group(bins[is_retrieved], groups[is_retrieved], shape),
        counts_by_group(bins[is_class], groups[is_class], shape),
    )


def average_precision(retrieved: Floats, relevant: Floats) -> Floats:
    """Return the average precision by resample; NaN without an image of the class.

    The same definition as scikit-learn's average_precision_score: a sum of steps, no interpolation.
    """
    if not len(relevant):
        return np.full(relevant.shape[1], np.nan)
    steps = np.diff(relevant, axis=0, prepend=0.0)
    area = (steps * safe_divide(relevant, retrieved, empty=0.0)).sum(axis=0)
    return safe_divide(area, relevant[-1])


def review_fractions(retrieved: Floats, relevant: Floats, rows: Floats, recall: float) -> Floats:
    """Return, by resample, the fraction of all images to review until `recall` of the class is found."""
    if not len(relevant):
        return np.full(relevant.shape[1], np.nan)
    is_reached = relevant >= recall * relevant[-1] - 1e-9  # .95 * 20 is a little over 19
    reviewed = np.take_along_axis(retrieved, is_reached.argmax(axis=0)[None], axis=0)[0]
    return np.where(relevant[-1] > 0, reviewed / rows, np.nan)

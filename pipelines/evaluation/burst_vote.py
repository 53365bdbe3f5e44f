"""Burst vote: combine the probabilities of a burst's frames into one prediction for all of them.

The mean suits an animal that is visible on every frame. One that is visible on one frame of five, as a rare animal
often is, is lost in the mean and found by the maximum. So the vote is a weighted sum of both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.evaluation.bootstrap import Floats
from pipelines.evaluation.calibration import balanced_log_loss

MEAN, MAXIMUM = 0.0, 1.0
NO_VOTE = None  # each image keeps its own probabilities
MAX_WEIGHTS = (MEAN, 0.25, 0.5, 0.75, MAXIMUM, NO_VOTE)  # of the maximum; the mean has the rest
_TOLERANCE = 1e-12  # summation order changes the last digits


def aggregate_burst(probabilities: ArrayLike, bursts: Sequence[str], weight: float | None) -> Floats:
    """Return the probabilities of each image's burst, shape (n, k); the image's own if `weight` is None.

    A burst's probabilities are (1 - weight) * mean + weight * maximum over its images, normalised to sum to 1.
    """
    own = np.asarray(probabilities, dtype=np.float64)
    if weight is NO_VOTE:
        return own
    _, index, frames = np.unique(np.asarray(bursts, dtype=str), return_inverse=True, return_counts=True)
    order, starts = np.argsort(index, kind="stable"), np.cumsum(frames) - frames
    mean = np.add.reduceat(own[order], starts) / frames[:, None]
    mixed = (1 - weight) * mean + weight * np.maximum.reduceat(own[order], starts)
    return np.asarray((mixed / mixed.sum(axis=1, keepdims=True))[index])


def choose_weight(truth: NDArray[np.int64], probabilities: ArrayLike, bursts: Sequence[str]) -> float | None:
    """Return the weight with the lowest log-loss, the first of equals; NO_VOTE if every vote is worse than none.

    `truth` holds the class index of each image. All classes have equal weight, or rare ones would have no influence.
    Weights with a balanced accuracy below that of the single-image predictions are not considered.
    """
    by_weight = {weight: aggregate_burst(probabilities, bursts, weight) for weight in MAX_WEIGHTS}
    min_accuracy = _balanced_accuracy(truth, by_weight[NO_VOTE]) - _TOLERANCE
    allowed = [weight for weight in MAX_WEIGHTS if _balanced_accuracy(truth, by_weight[weight]) >= min_accuracy]
    return min(allowed, key=lambda weight: round(balanced_log_loss(truth, by_weight[weight]), 12))


def _balanced_accuracy(truth: NDArray[np.int64], probabilities: Floats) -> float:
    """Return the mean recall over the classes; a tie of n most probable classes counts as 1/n."""
    is_top = probabilities >= probabilities.max(axis=1, keepdims=True) - _TOLERANCE
    correct = is_top[np.arange(len(truth)), truth] / is_top.sum(axis=1)
    counts = np.bincount(truth)
    return float((np.bincount(truth, weights=correct)[counts > 0] / counts[counts > 0]).mean())

"""The vote of a burst: its frames' probabilities become one answer, which all of them give.

The mean suits what is seen on every frame. What shows on one frame of five, as a rare animal does, is lost in a mean,
and found by the maximum. So a vote weighs one against the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.evaluation.bootstrap import Floats
from pipelines.evaluation.calibration import balanced_log_loss

MEAN, MAXIMUM = 0.0, 1.0
NO_VOTE = None  # every image keeps its own probabilities
MAX_WEIGHTS = (MEAN, 0.25, 0.5, 0.75, MAXIMUM, NO_VOTE)  # of the maximum
_TIE = 1e-12  # sums in another order differ in their last digits


def aggregate_burst(probabilities: ArrayLike, bursts: Sequence[str], weight: float | None) -> Floats:
    """Return the burst's probabilities for each image, shape (n, k); the image's own if `weight` is None.

    A burst's probabilities are (1 - weight) * mean + weight * maximum over its images, normalised to a sum of 1.
    """
    own = np.asarray(probabilities, dtype=np.float64)
    if weight is NO_VOTE:
        return own
    _, place, frames = np.unique(np.asarray(bursts, dtype=str), return_inverse=True, return_counts=True)
    order, starts = np.argsort(place, kind="stable"), np.cumsum(frames) - frames
    mean = np.add.reduceat(own[order], starts) / frames[:, None]
    mixed = (1 - weight) * mean + weight * np.maximum.reduceat(own[order], starts)
    return np.asarray((mixed / mixed.sum(axis=1, keepdims=True))[place])


def choose_weight(truth: NDArray[np.int64], probabilities: ArrayLike, bursts: Sequence[str]) -> float | None:
    """Return the weight with the lowest log-loss, the first of equals; NO_VOTE if every vote does worse than none.

    `truth` holds the index of each image's class. Every class counts the same, or the rare one would be outvoted here
    too. A vote whose balanced accuracy is below that of the images' own predictions is not considered.
    """
    voted = {weight: aggregate_burst(probabilities, bursts, weight) for weight in MAX_WEIGHTS}
    least = _balanced_accuracy(truth, voted[NO_VOTE]) - _TIE
    allowed = [weight for weight in MAX_WEIGHTS if _balanced_accuracy(truth, voted[weight]) >= least]
    return min(allowed, key=lambda weight: round(balanced_log_loss(truth, voted[weight]), 12))


def _balanced_accuracy(truth: NDArray[np.int64], probabilities: Floats) -> float:
    """Return the mean recall; an image whose class ties with others for the most probable counts as a part."""
    is_best = probabilities >= probabilities.max(axis=1, keepdims=True) - _TIE
    is_right = is_best[np.arange(len(truth)), truth] / is_best.sum(axis=1)
    counts = np.bincount(truth)
    return float((np.bincount(truth, weights=is_right)[counts > 0] / counts[counts > 0]).mean())

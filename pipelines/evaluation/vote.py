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

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
MEAN, MAXIMUM = WEIGHTS[0], WEIGHTS[-1]


def vote(probabilities: ArrayLike, bursts: Sequence[str], weight: float) -> Floats:
    """Give for each picture what its burst says, shape (n, k): (1 - weight) * mean + weight * maximum, brought to 1."""
    own = np.asarray(probabilities, dtype=np.float64)
    _, place, frames = np.unique(np.asarray(bursts, dtype=str), return_inverse=True, return_counts=True)
    order, starts = np.argsort(place, kind="stable"), np.cumsum(frames) - frames
    mean = np.add.reduceat(own[order], starts) / frames[:, None]
    mixed = (1 - weight) * mean + weight * np.maximum.reduceat(own[order], starts)
    return np.asarray((mixed / mixed.sum(axis=1, keepdims=True))[place])


def choose_weight(truth: NDArray[np.int64], probabilities: ArrayLike, bursts: Sequence[str]) -> float:
    """Give the weight of the maximum with the lowest log-loss, the first of equals.

    `truth` holds each picture's place among the classes. Every class counts the same, or the rare one would be outvoted
    here too.
    """
    return min(WEIGHTS, key=lambda weight: round(balanced_log_loss(truth, vote(probabilities, bursts, weight)), 12))

"""Calibration: of the images the model is 80 % sure of, are 80 % right?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.evaluation.bootstrap import Floats
from pipelines.metrics.base import ReliabilityBin, safe_divide

BINS = 15
_PRIOR_SCALE = 0.5  # standard deviation of the prior on the log temperature
_MAX_TEMPERATURE = 20.0  # searched from 1/20 to 20
_EPSILON = np.finfo(np.float64).eps


def reliability_bins(probabilities: Floats, is_correct: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """Return bins of equal width of the top probability, lower edge excluded (Guo et al., 2017)."""
    edges = np.linspace(0, 1, BINS + 1)
    top = probabilities.max(axis=1)
    index = np.searchsorted(edges[1:-1], top)
    counts = np.bincount(index, minlength=BINS).astype(np.float64)
    sums = (np.bincount(index, weights=values, minlength=BINS) for values in (top, is_correct.astype(np.float64)))
    confidence, accuracy = (safe_divide(total.astype(np.float64), counts) for total in sums)
    return tuple(
        ReliabilityBin(
            low=round(float(edges[i]), 6),
            high=round(float(edges[i + 1]), 6),
            confidence=float(confidence[i]) if counts[i] else None,
            accuracy=float(accuracy[i]) if counts[i] else None,
            count=int(counts[i]),
        )
        for i in range(BINS)
    )


def apply_temperature(probabilities: ArrayLike, temperature: float) -> Floats:
    """Return probabilities of shape (n, k) with their logits divided by the temperature; above 1: less confident."""
    logits = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), _EPSILON)) / temperature
    return softmax(logits)


def softmax(logits: Floats) -> Floats:
    """Return probabilities of shape (n, k)."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def balanced_log_loss(truth: NDArray[np.int64], probabilities: Floats) -> float:
    """Return the log-loss in nats, averaged over the classes; `truth` holds class indices.

    All classes have equal weight, or rare ones would have no influence.
    """
    weights = 1.0 / np.bincount(truth)[truth]
    likelihood = probabilities[np.arange(len(truth)), truth]
    return float(-(weights * np.log(np.maximum(likelihood, _EPSILON))).sum() / weights.sum())


def fit_temperature(truth: NDArray[np.int64], probabilities_at: Callable[[float], Floats], groups: int) -> float:
    """Return the temperature with the lowest log-loss (Guo et al., 2017); `truth` holds class indices.

    `probabilities_at` returns the probabilities at a temperature: the most probable class does not depend on it, only
    the confidence. The likelihood counts as many observations as there are `groups`, against a normal prior on the log
    temperature with mean 0: a model without an error on a few encounters is not certain, and one with errors on them
    is not worthless.
    """

    from scipy.optimize import minimize_scalar  # see bootstrap

    def loss(log_temperature: float) -> float:
        likelihood = probabilities_at(float(np.exp(log_temperature)))[np.arange(len(truth)), truth]
        return float(
            -groups * np.log(np.maximum(likelihood, _EPSILON)).mean() + (log_temperature / _PRIOR_SCALE) ** 2 / 2
        )

    limit = float(np.log(_MAX_TEMPERATURE))
    return float(np.exp(minimize_scalar(loss, bounds=(-limit, limit), method="bounded").x))

"""Calibration: of the images the model is 80 % sure of, are 80 % right?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from pipelines.evaluation.bootstrap import Floats
from pipelines.evaluation.ranking import safe_divide
from pipelines.evaluation.results import ReliabilityBin

BINS = 15
_SPREAD = 0.5  # of the temperature's logarithm, before anything is seen
_HOTTEST = 20.0  # temperatures from 1/20 to 20 are looked at
_LEAST = np.finfo(np.float64).eps


def reliability_bins(probabilities: Floats, is_right: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """Bin by the top probability, equal widths, each bin without its lower edge (Guo et al., 2017)."""
    edges = np.linspace(0, 1, BINS + 1)
    top = probabilities.max(axis=1)
    places = np.searchsorted(edges[1:-1], top)
    counts = np.bincount(places, minlength=BINS).astype(np.float64)
    sums = (np.bincount(places, weights=each, minlength=BINS) for each in (top, is_right.astype(np.float64)))
    confidence, accuracy = (safe_divide(each.astype(np.float64), counts) for each in sums)
    return tuple(
        ReliabilityBin(
            low=round(float(edges[place]), 6),
            high=round(float(edges[place + 1]), 6),
            confidence=float(confidence[place]) if counts[place] else None,
            accuracy=float(accuracy[place]) if counts[place] else None,
            count=int(counts[place]),
        )
        for place in range(BINS)
    )


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Give the mean gap between confidence and accuracy, weighted by the images in each bin (ECE)."""
    rows = sum(each.count for each in bins)
    gaps = (each.count * abs((each.confidence or 0.0) - (each.accuracy or 0.0)) for each in bins)
    return sum(gaps) / rows


def apply_temperature(probabilities: ArrayLike, temperature: float) -> Floats:
    """Give probabilities of shape (n, k), with their logits divided by the temperature; above 1 they are less sure."""
    logits = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), _LEAST)) / temperature
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def balanced_log_loss(truth: NDArray[np.int64], probabilities: Floats) -> float:
    """Give the mean over the classes of their log-loss, in nats; `truth` holds places among the classes.

    Every class counts the same, or the rare one would have no say.
    """
    share = 1.0 / np.bincount(truth)[truth]
    given = probabilities[np.arange(len(truth)), truth]
    return float(-(share * np.log(np.maximum(given, _LEAST))).sum() / share.sum())


def fit_temperature(truth: NDArray[np.int64], tempered: Callable[[float], Floats], evidence: int) -> float:
    """Give the temperature with the lowest log-loss (Guo et al., 2017); `truth` holds places among the classes.

    `tempered` gives the probabilities at a temperature: which class is the most probable does not change with it, only
    how sure the model says it is. `evidence`, the number of groups, is weighed against a temperature of 1 (a normal
    prior on its logarithm): a model that was never wrong on a few encounters is not therefore certain, nor is one
    worthless that was wrong on them.
    """

    def loss(log_temperature: float) -> float:
        given = tempered(float(np.exp(log_temperature)))[np.arange(len(truth)), truth]
        return float(-evidence * np.log(np.maximum(given, _LEAST)).mean() + (log_temperature / _SPREAD) ** 2 / 2)

    widest = float(np.log(_HOTTEST))
    return float(np.exp(minimize_scalar(loss, bounds=(-widest, widest), method="bounded").x))

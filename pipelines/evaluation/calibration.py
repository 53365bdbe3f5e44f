"""Calibration: of the pictures the model is 80 % sure of, are 80 % right?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.bootstrap import Floats
from pipelines.evaluation.figures import ReliabilityBin
from pipelines.evaluation.ranking import ratio

BINS = 15


def reliability(probabilities: Floats, is_right: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """Bin by the top probability, equal widths, each bin without its lower edge (Guo et al., 2017)."""
    edges = np.linspace(0, 1, BINS + 1)
    top = probabilities.max(axis=1)
    places = np.searchsorted(edges[1:-1], top)
    counts = np.bincount(places, minlength=BINS).astype(np.float64)
    sums = (np.bincount(places, weights=each, minlength=BINS) for each in (top, is_right.astype(np.float64)))
    confidence, accuracy = (ratio(each.astype(np.float64), counts) for each in sums)
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
    """Give the mean gap between confidence and accuracy, weighted by the pictures in each bin (ECE)."""
    rows = sum(each.count for each in bins)
    gaps = (each.count * abs((each.confidence or 0.0) - (each.accuracy or 0.0)) for each in bins)
    return sum(gaps) / rows

"""Expected calibration error: the mean gap of confidence and accuracy (Guo et al., 2017).

Resampling adds noise to every bin, which biases the error upwards: percentiles of resamples would not cover it. So it
has no interval.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.metrics.base import Metric, ReliabilityBin


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Return the mean gap of confidence and accuracy, weighted by images per bin."""
    images = sum(bin.count for bin in bins)
    gaps = (bin.count * abs((bin.confidence or 0.0) - (bin.accuracy or 0.0)) for bin in bins)
    return sum(gaps) / images


METRIC = Metric(
    "calibration_error",
    "Calibration error",
    "lower is better",
    lambda counts: np.array([calibration_error(counts.bins)]),
    needs="bins",
    higher_is_better=False,
)

"""Mean average precision: how well the classes' probabilities rank the images, as a mean over the classes."""

from __future__ import annotations

import numpy as np

from pipelines.metrics.base import Counts, Floats, Metric


def mean_average_precision(counts: Counts) -> Floats:
    assert counts.average_precisions is not None
    return np.asarray(np.nanmean(counts.average_precisions, axis=0))


METRIC = Metric(
    "mean_average_precision",
    "Mean average precision",
    "quality of the ranking",
    mean_average_precision,
    needs="probabilities",
)

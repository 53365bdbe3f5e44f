"""Balanced accuracy: the mean recall of the classes that have images."""

from __future__ import annotations

import numpy as np

from pipelines.metrics.base import Counts, Floats, Metric


def balanced_accuracy(counts: Counts) -> Floats:
    return np.asarray(np.nanmean(counts.recalls, axis=0))  # a resample always has some class


METRIC = Metric("balanced_accuracy", "Balanced accuracy", "mean recall of the classes", balanced_accuracy)

"""Macro F1: the mean F1 score of the classes that have images or predictions."""

from __future__ import annotations

import numpy as np

from pipelines.metrics.base import Counts, Floats, Metric


def macro_f1(counts: Counts) -> Floats:
    return np.asarray(np.nanmean(counts.f1s, axis=0))  # a resample always has some class


METRIC = Metric("macro_f1", "Macro F1", "mean F1 of the classes", macro_f1)

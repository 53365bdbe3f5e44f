"""Accuracy: the fraction of images that are predicted correctly."""

from __future__ import annotations

from pipelines.metrics.base import Counts, Floats, Metric


def accuracy(counts: Counts) -> Floats:
    return counts.correct.sum(axis=0) / counts.images


METRIC = Metric("accuracy", "Accuracy", "correct predictions of all", accuracy, is_proportion=True)

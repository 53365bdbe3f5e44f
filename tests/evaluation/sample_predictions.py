"""Predictions for tests of metrics."""

from __future__ import annotations

import numpy as np

from pipelines.evaluation.evaluate import evaluate

CLASSES = ["blank", "deer", "ocelot"]


def made(rows=300, groups=60, classes=3, seed=0):
    """Return labels, probabilities, classes and groups of a mediocre classifier."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(classes, size=rows)
    scores = generator.normal(size=(rows, classes))
    scores[np.arange(rows), truth] += 1.5
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    names = [f"class {i}" for i in range(classes)]
    return (
        [names[each] for each in truth],
        probabilities,
        names,
        [f"g{each}" for each in generator.integers(groups, size=rows)],
    )


def of_predictions(labels, predictions, groups=None, **settings):
    """Evaluate certain predictions: probability one for the predicted class."""
    probabilities = np.eye(len(CLASSES))[[CLASSES.index(each) for each in predictions]]
    groups = groups or [str(row) for row in range(len(labels))]
    return evaluate(labels, probabilities, CLASSES, groups, **settings)

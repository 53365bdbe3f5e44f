"""Accuracy of logistic regression on features."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MIN_PREDICTIONS = 2_000
Features = np.ndarray[Any, np.dtype[np.float32]]


def accuracy(features: Features, labels: np.ndarray[Any, Any], predictions: int = MIN_PREDICTIONS) -> float:
    """Return the accuracy of five-fold cross-validation with fixed folds.

    With few images, folds are redrawn until there are `predictions` predictions, to reduce the variance.
    """
    correct, repeats = 0, max(1, predictions // len(labels))
    for seed in range(repeats):
        for train, test in StratifiedKFold(5, shuffle=True, random_state=seed).split(features, labels):
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
            correct += int((model.fit(features[train], labels[train]).predict(features[test]) == labels[test]).sum())
    return correct / len(labels) / repeats

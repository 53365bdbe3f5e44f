"""A classifier as a linear function of the features: its algebra, and a surrogate for other classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MIN_PROBABILITY = 1e-6  # of a forest's zeros, whose logit would be infinite
RIDGE = 0.1  # penalty on standardised features, relative to the number of images


@dataclass(frozen=True)
class LinearHead:
    """Logits of k classes: coefficients of shape (k, d) on the features as they are, and k intercepts."""

    coefficients: Floats
    intercepts: Floats

    def logits(self, features: Floats) -> Floats:
        """Return the logits, shape (n, k)."""
        return np.asarray(features @ self.coefficients.T + self.intercepts)

    def before_projection(self, components: Floats) -> LinearHead:
        """Return the head on features of which this one sees `features @ components` (PCA; shape (d, components))."""
        return LinearHead(self.coefficients @ components.T, self.intercepts)

    def before_scaling(self, mean: Floats, scale: Floats) -> LinearHead:
        """Return the head on features of which this one sees `(features - mean) * scale`."""
        scaled = self.coefficients * scale
        return LinearHead(scaled, self.intercepts - scaled @ mean)

    def with_temperature(self, temperature: float) -> LinearHead:
        """Return the head with all logits divided by a temperature."""
        return LinearHead(self.coefficients / temperature, self.intercepts / temperature)

    def contrasts(self, references: Sequence[int]) -> LinearHead:
        """Return, for each class, its logit minus the mean of the logits of reference classes (such as blank).

        Without references, and for a class that is one, those are all other classes.
        """
        count = len(self.intercepts)
        matrix = np.eye(count)
        for label in range(count):
            others = [i for i in references if label not in references] or [i for i in range(count) if i != label]
            matrix[label, others] -= 1 / max(len(others), 1)
        return LinearHead(matrix @ self.coefficients, matrix @ self.intercepts)


@dataclass(frozen=True)
class Surrogate:
    """A linear head fitted to the predictions of another classifier, and the fraction of their variance it explains."""

    head: LinearHead
    fidelity: float


def fit_surrogate(features: NDArray[np.float32], probabilities: Floats) -> Surrogate:
    """Return the linear head that fits centred log-probabilities best, by least squares with a small penalty.

    `features`: shape (n, d); `probabilities`: shape (n, k). Solved in the smaller of n and d dimensions.
    """
    logs = np.log(np.maximum(probabilities, MIN_PROBABILITY))
    targets = logs - logs.mean(axis=1, keepdims=True)
    values = features.astype(np.float64)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)
    values = (values - mean) * scale
    intercepts = targets.mean(axis=0)
    penalty = RIDGE * max(len(values), 1)
    if len(values) <= values.shape[1]:
        dual = np.linalg.solve(values @ values.T + penalty * np.eye(len(values)), targets - intercepts)
        coefficients = values.T @ dual
    else:
        gram = values.T @ values + penalty * np.eye(values.shape[1])
        coefficients = np.linalg.solve(gram, values.T @ (targets - intercepts))
    residual = np.square(values @ coefficients + intercepts - targets).sum()
    total = np.square(targets - intercepts).sum()
    fidelity = float(1 - residual / total) if total > 0 else 1.0
    return Surrogate(LinearHead(coefficients.T, intercepts).before_scaling(mean, scale), fidelity)

"""Multinomial logistic regression with an L2 penalty, solved in memory by SciPy's L-BFGS.

The objective is that of Spark ML's LogisticRegression with standardization: the weighted mean of the log-losses plus
half the penalty times the squared coefficients of standardised features; intercepts are not penalised. Both solvers
therefore have the same optimum, and a model of one can be given as a model of the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from pipelines.evaluation.calibration import softmax

Array32 = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Probabilities then agree with the optimum to 1e-4 on real features too (2e-6: to 1e-3, in a tenth less time).
# `maxcor`: gradients that L-BFGS keeps.
_OPTIONS = {"gtol": 1e-7, "ftol": 1e-12, "maxcor": 20}
_ITERATIONS_EXHAUSTED = 1  # of SciPy's statuses; 2, no better point along the gradient, is the limit of precision
_CLOSE = 2e-6  # a gradient at which probabilities are within 1e-3 of the optimum, converged or not
_MIN_SHARE = 1e-4  # of a class without rows, whose intercept has no optimum
_BLOCK_VALUES = 1 << 22  # values in double precision at a time
_KEPT_VALUES = 1 << 23  # values that a fit may keep in double precision: 64 MB, and a third less time
_CACHED_VALUES, _MIN_ROWS = 1 << 16, 128  # the same within a fit, where they should stay in the processor's cache


@dataclass(frozen=True)
class SoftmaxModel:
    """Coefficients of shape (k, d) for features as they are, and k intercepts.

    `converged`: whether the solver reached the optimum within its iterations.
    """

    coefficients: Floats
    intercepts: Floats
    converged: bool = True

    def predict_proba(self, features: Array32) -> Floats:
        """Return probabilities of shape (n, k)."""
        logits = np.empty((len(features), len(self.intercepts)))
        for block in _blocks(features):
            logits[block] = features[block].astype(np.float64) @ self.coefficients.T + self.intercepts
        return softmax(logits)


class StandardizedFeatures:
    """Features of shape (n, d), centred and scaled in place, once for all fits on them.

    Each fit uses its own rows, by weights, and the standard deviation of these rows, by rescaled coefficients.
    """

    def __init__(self, features: Array32):
        self.mean, spread = _moments(features, np.ones(len(features)))
        self.scale = _invert(spread)
        self.values = features
        for block in _blocks(features):
            features[block] = (features[block] - self.mean) * self.scale

    def fit_path(
        self, targets: Ints, weights: Floats, classes: int, penalties: Sequence[float], max_iter: int
    ) -> list[SoftmaxModel]:
        """Return a model for each penalty; rows with weight 0 are left out.

        The strongest penalty is fitted first, and each fit starts from the result of the one before.
        """
        weights = weights / weights.sum()
        mean, spread = _moments(self.values, weights)
        objective = _Objective(self.values, targets, weights, classes, mean, _invert(spread))
        start, options = objective.initial(), {**_OPTIONS, "maxiter": max_iter}
        models: dict[float, SoftmaxModel] = {}
        for penalty in sorted(set(penalties), reverse=True):
            result = minimize(objective, start, (penalty,), method="L-BFGS-B", jac=True, options=options)
            start = result.x
            model = self._model(*objective.unpack(start), objective, penalty)
            is_close = result.status != _ITERATIONS_EXHAUSTED or np.abs(result.jac).max() <= _CLOSE
            models[penalty] = replace(model, converged=bool(is_close))
        return [models[penalty] for penalty in penalties]

    def predict_proba(self, model: SoftmaxModel, rows: Ints) -> Floats:
        """Return the probabilities of a model for some of the rows."""
        spread = _invert(self.scale)
        shifted = SoftmaxModel(model.coefficients * spread, model.intercepts + model.coefficients @ self.mean)
        return shifted.predict_proba(self.values[rows])

    def _model(self, coefficients: Floats, intercepts: Floats, objective: _Objective, penalty: float) -> SoftmaxModel:
        """Return the model for features as they are, with intercepts (and unpenalised coefficients) of mean 0."""
        scaled = coefficients * objective.scale
        if not penalty:
            scaled = scaled - scaled.mean(axis=0)
        intercepts = intercepts - scaled @ objective.mean
        raw = scaled * self.scale
        intercepts = intercepts - raw @ self.mean
        return SoftmaxModel(raw, intercepts - intercepts.mean())


class _Objective:
    """The penalised loss and its gradient, as functions of coefficients (k, d) and intercepts (k), raveled.

    Rows are converted to double precision once, or block by block if they are many: with gradients in single precision
    the line search would end at noise, far from the optimum.
    """

    def __init__(self, values: Array32, targets: Ints, weights: Floats, classes: int, mean: Floats, scale: Floats):
        self.values, self.used = values, np.flatnonzero(weights)
        is_small = len(self.used) * values.shape[1] <= _KEPT_VALUES
        self.kept = values[self.used].astype(np.float64) if is_small else None
        self.targets, self.weights, self.classes = targets[self.used], weights[self.used], classes
        self.mean, self.scale = mean, scale
        self.step = max(_MIN_ROWS, _CACHED_VALUES // max(values.shape[1], 1))

    def initial(self) -> Floats:
        """Return zeros, with the intercepts of a model that knows the frequencies of the classes only."""
        share = np.bincount(self.targets, self.weights, self.classes)
        intercepts = np.log(np.maximum(share, _MIN_SHARE))
        return np.concatenate([np.zeros(self.classes * self.values.shape[1]), intercepts - intercepts.mean()])

    def unpack(self, x: Floats) -> tuple[Floats, Floats]:
        return x[: -self.classes].reshape(self.classes, -1), x[-self.classes :]

    def __call__(self, x: Floats, penalty: float) -> tuple[float, Floats]:
        coefficients, intercepts = self.unpack(x)
        scaled = coefficients * self.scale
        shifted = intercepts - scaled @ self.mean
        loss, sums, gradient = 0.0, np.zeros(self.classes), np.zeros_like(coefficients)
        for start in range(0, len(self.used), self.step):
            block = slice(start, start + self.step)
            values, weights = self._rows(block), self.weights[block]
            logits = values @ scaled.T + shifted
            logits -= logits.max(axis=1, keepdims=True)
            residuals = np.exp(logits)
            total = residuals.sum(axis=1)
            own = np.arange(len(values)), self.targets[block]
            loss += weights @ (np.log(total) - logits[own])
            residuals *= (weights / total)[:, None]
            residuals[own] -= weights
            sums += residuals.sum(axis=0)
            gradient += residuals.T @ values
        gradient = (gradient - np.outer(sums, self.mean)) * self.scale + penalty * coefficients
        value = loss + penalty / 2 * np.einsum("kd,kd->", coefficients, coefficients)
        return float(value), np.concatenate([gradient.ravel(), sums])

    def _rows(self, block: slice) -> Floats:
        if self.kept is not None:
            return self.kept[block]
        return self.values[self.used[block]].astype(np.float64)


def _blocks(values: Array32) -> Iterator[slice]:
    """Yield slices of rows that fit _BLOCK_VALUES, so that double precision is never needed for all rows at once."""
    rows = max(1, _BLOCK_VALUES // max(values.shape[1], 1))
    for start in range(0, len(values), rows):
        yield slice(start, start + rows)


def _moments(values: Array32, weights: Floats) -> tuple[Floats, Floats]:
    """Return weighted mean and standard deviation of the columns, unbiased as Spark's summarizer is."""
    total, squares = weights.sum(), (weights * weights).sum()
    mean, spread = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for block in _blocks(values):
        mean += weights[block] @ values[block].astype(np.float64)
    mean /= total
    for block in _blocks(values):
        spread += weights[block] @ np.square(values[block] - mean)
    return mean, np.sqrt(spread / max(total - squares / total, np.finfo(float).tiny))


def _invert(spread: Floats) -> Floats:
    """Return 1 / spread, 0 for a constant column, whose coefficient is then 0."""
    return np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)

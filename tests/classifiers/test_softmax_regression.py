"""Multinomial logistic regression in memory equals scikit-learn's, for every penalty, weight and subset of rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from pipelines.classifiers import softmax_regression
from pipelines.classifiers.softmax_regression import StandardizedFeatures

PENALTIES = [0.01, 0.1, 1.0]


@pytest.fixture(scope="module")
def points():
    """Return 400 rows of three overlapping classes in columns of different scales, one of them constant."""
    random = np.random.default_rng(7)
    targets = random.choice(3, size=400, p=[0.6, 0.3, 0.1])
    features = np.eye(3)[targets] @ random.normal(size=(3, 20)) + random.normal(size=(400, 20))
    features = features * np.geomspace(1e-3, 1e3, 20) + np.linspace(-50, 50, 20)
    features[:, 4] = 7.0
    return features.astype(np.float32), targets, np.array([1.0, 2.0, 6.0])[targets]


def fit_scikit_learn(features, targets, weights, penalty):
    """Return coefficients of standardised features, and probabilities of all rows."""
    used, total = weights > 0, weights.sum()
    mean = np.average(features.astype(float), axis=0, weights=weights)
    variance = weights @ np.square(features - mean) / (total - weights @ weights / total)
    scaled = np.divide(features - mean, np.sqrt(variance), out=np.zeros(features.shape), where=variance > 0)
    model = LogisticRegression(C=1 / (penalty * total), tol=1e-10, max_iter=10_000)
    model.fit(scaled[used], targets[used], sample_weight=weights[used])
    return model.coef_ - model.coef_.mean(axis=0), model.predict_proba(scaled), np.sqrt(variance)


@pytest.mark.parametrize("kept", [1 << 23, 0])
def test_coefficients_and_probabilities_equal_those_of_scikit_learn(points, kept, monkeypatch):
    monkeypatch.setattr(softmax_regression, "_KEPT_VALUES", kept)  # in double precision at once, or block by block
    monkeypatch.setattr(softmax_regression, "_CACHED_VALUES", 0)  # blocks of 128 rows
    features, targets, weights = points
    for used in (np.ones(400, bool), np.arange(400) % 5 > 0):
        weighted = np.where(used, weights, 0.0)
        models = StandardizedFeatures(features.copy()).fit_path(targets, weighted, 3, PENALTIES, 1000)
        for model, penalty in zip(models, PENALTIES, strict=True):
            coefficients, probabilities, deviation = fit_scikit_learn(features, targets, weighted, penalty)
            assert model.coefficients * deviation == pytest.approx(coefficients, abs=1e-4)
            assert model.predict_proba(features) == pytest.approx(probabilities, abs=1e-4)
            assert model.intercepts.sum() == pytest.approx(0, abs=1e-9)
            assert model.coefficients[:, 4].tolist() == [0.0] * 3


def test_the_standardised_rows_are_predicted_as_the_rows_themselves(points):
    features, targets, weights = points
    standardized = StandardizedFeatures(features.copy())
    (model,) = standardized.fit_path(targets, weights, 3, [0.05], 100)
    rows = np.array([3, 399, 5])
    assert standardized.predict_proba(model, rows) == pytest.approx(model.predict_proba(features[rows]), abs=1e-6)


def test_penalties_keep_their_order_and_may_repeat(points):
    features, targets, weights = points
    standardized = StandardizedFeatures(features.copy())
    weak, strong, again = standardized.fit_path(targets, weights, 3, [0.01, 10.0, 0.01], 1000)
    assert np.abs(weak.coefficients).sum() > 10 * np.abs(strong.coefficients).sum()
    assert (again.coefficients == weak.coefficients).all()


def test_without_penalty_the_coefficients_have_the_mean_0(points):
    features, targets, weights = points
    (model,) = StandardizedFeatures(features.copy()).fit_path(targets, weights, 3, [0.0], 200)
    assert model.coefficients.mean(axis=0) == pytest.approx(0, abs=1e-12)
    assert np.isfinite(model.coefficients).all()


def test_a_class_without_rows_is_hardly_ever_predicted(points):
    features, targets, weights = points
    (model,) = StandardizedFeatures(features.copy()).fit_path(targets, weights, 4, [0.1], 100)
    assert model.predict_proba(features)[:, 3].max() < 1e-3


def test_rows_of_one_class_only_are_predicted_as_such(points):
    features, *_ = points
    (model,) = StandardizedFeatures(features.copy()).fit_path(np.zeros(400, np.int64), np.ones(400), 2, [0.1], 100)
    assert model.predict_proba(features)[:, 0].min() > 0.99


def test_iterations_are_limited(points):
    features, targets, weights = points
    standardized = StandardizedFeatures(features.copy())
    (one,), (many,) = (standardized.fit_path(targets, weights, 3, [0.01], count) for count in (1, 100))
    assert np.abs(one.predict_proba(features) - many.predict_proba(features)).max() > 0.1
    assert (one.converged, many.converged) == (False, True)

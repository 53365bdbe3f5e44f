from __future__ import annotations

import numpy as np
import pytest

from pipelines.explanation.head import LinearHead, fit_surrogate

RNG = np.random.default_rng(2)
FEATURES = RNG.normal(size=(20, 7))


def head(dimensions: int) -> LinearHead:
    return LinearHead(RNG.normal(size=(3, dimensions)), RNG.normal(size=3))


def test_pca_scaling_and_temperature_are_undone() -> None:
    after, components = head(4), RNG.normal(size=(7, 4))
    mean, scale = RNG.normal(size=7), RNG.gamma(2, size=7)
    before = after.before_projection(components).before_scaling(mean, scale).with_temperature(2.5)
    expected = after.logits((FEATURES - mean) * scale @ components) / 2.5
    np.testing.assert_allclose(before.logits(FEATURES), expected, atol=1e-12)


def test_a_class_is_contrasted_with_blank_and_blank_with_all_others() -> None:
    given = head(7)
    logits, found = given.logits(FEATURES), given.contrasts([1]).logits(FEATURES)
    np.testing.assert_allclose(found[:, 0], logits[:, 0] - logits[:, 1])
    np.testing.assert_allclose(found[:, 2], logits[:, 2] - logits[:, 1])
    np.testing.assert_allclose(found[:, 1], logits[:, 1] - (logits[:, 0] + logits[:, 2]) / 2)


def test_without_blank_a_class_is_contrasted_with_the_mean_of_the_others() -> None:
    given = head(7)
    logits, found = given.logits(FEATURES), given.contrasts([]).logits(FEATURES)
    np.testing.assert_allclose(found[:, 1], logits[:, 1] - (logits[:, 0] + logits[:, 2]) / 2)


@pytest.mark.parametrize("rows", [12, 400])
def test_a_surrogate_of_a_linear_classifier_is_that_classifier(rows: int) -> None:
    features = RNG.normal(size=(rows, 20)).astype(np.float32)
    features[:, 3] = 1.0  # constant
    coefficients = 0.3 * RNG.normal(size=(3, 20))
    logits = features @ coefficients.T
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    found = fit_surrogate(features, odds / odds.sum(axis=1, keepdims=True))
    assert found.fidelity > 0.98
    expected, ours = logits - logits.mean(axis=1, keepdims=True), found.head.logits(features)
    assert np.corrcoef(ours.ravel(), expected.ravel())[0, 1] > 0.99


def test_the_fidelity_of_a_surrogate_is_low_for_what_no_line_explains() -> None:
    features = RNG.normal(size=(2000, 5)).astype(np.float32)
    likely = np.where(features[:, 0] * features[:, 1] > 0, 0.9, 0.1)
    assert abs(fit_surrogate(features, np.stack([likely, 1 - likely], axis=1)).fidelity) < 0.05

"""A temperature makes a model as sure as it is right."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from pipelines.evaluation.calibration import (
    apply_temperature,
    balanced_log_loss,
    fit_temperature,
    reliability_bins,
)
from pipelines.metrics.calibration_error import calibration_error


def drawn(rows=4000, classes=3, seed=0):
    """Return logits, and labels drawn from their probabilities."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, classes)) * 1.5
    truth = (softmax(logits, axis=1).cumsum(axis=1) > generator.random((rows, 1))).argmax(axis=1)
    return logits, truth


def test_logits_are_divided_by_the_temperature():
    logits, _ = drawn(50)
    assert apply_temperature(softmax(logits, axis=1), 2.5) == pytest.approx(softmax(logits / 2.5, axis=1))
    assert apply_temperature(apply_temperature(softmax(logits, axis=1), 2.5), 1 / 2.5) == pytest.approx(
        softmax(logits, axis=1)
    )


def test_certain_answers_are_tempered_too():
    found = apply_temperature([[1.0, 0.0], [0.5, 0.5]], 10.0)
    assert found[0] == pytest.approx([1 / (1 + np.exp(np.log(2**-52) / 10)), 0.02649], abs=1e-4)
    assert found[1] == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_a_model_too_sure_or_too_modest_is_found(factor):
    logits, truth = drawn()
    given = softmax(logits * factor, axis=1)
    temperature = fit_temperature(truth, lambda t: apply_temperature(given, t), len(truth))
    assert temperature == pytest.approx(factor, rel=0.08)
    fitted = apply_temperature(given, temperature)
    before, after = (
        calibration_error(reliability_bins(each, each.argmax(axis=1) == truth)) for each in (given, fitted)
    )
    assert after < 0.02
    assert (before > 0.09) == (factor != 1)


def test_few_groups_move_the_temperature_little():
    given = np.array([[0.6, 0.4]] * 3 + [[0.4, 0.6]] * 3)
    right, wrong = np.array([0, 0, 0, 1, 1, 1]), np.array([1, 1, 1, 0, 0, 0])

    def fitted(truth, groups):
        return fit_temperature(truth, lambda temperature: apply_temperature(given, temperature), groups)

    found = [fitted(right, groups) for groups in (0, 2, 50, 5000)]
    assert found[0] == pytest.approx(1, abs=1e-3)
    assert 0.7 < found[1] < 0.98 and 0.1 < found[2] < 0.5 and found[3] < 0.1
    assert 1 < fitted(wrong, 2) < 1.3 < fitted(wrong, 500)


def test_every_class_counts_the_same_in_the_balanced_log_loss():
    truth, given = np.array([0, 0, 0, 1]), np.array([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.75, 0.25]])
    assert balanced_log_loss(truth, given) == pytest.approx((np.log(2) + np.log(4)) / 2)

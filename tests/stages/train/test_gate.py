"""The gate on hand-made predictions of two models for the same images."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.config.loader import load_settings
from pipelines.evaluation.predictions import PredictionSet
from pipelines.stages.train.gate import compare_with_champion

CLASSES = ("blank", "hare", "leopard")
# 40 encounters of five frames each: 24 of nothing, 12 of a hare, 4 of a leopard.
ENCOUNTERS = ["blank"] * 24 + ["hare"] * 12 + ["leopard"] * 4
LABELS = [label for label in ENCOUNTERS for _ in range(5)]
GROUPS = [f"g{place}" for place in range(40) for _ in range(5)]


def predict(wrong=()):
    """Return predictions of a model that takes the encounters `wrong` for blank, and blanks for hares."""
    predictions = [
        label if row // 5 not in wrong else "hare" if label == "blank" else "blank" for row, label in enumerate(LABELS)
    ]
    return PredictionSet(LABELS, np.eye(3)[[CLASSES.index(each) for each in predictions]], CLASSES, GROUPS, GROUPS)


def judged(ours, theirs, interesting=("hare", "leopard"), metric="balanced_accuracy"):
    chosen = load_settings(None, {"train.gate_metric": metric}).train
    return compare_with_champion(ours, theirs, interesting, chosen, "irbis/1")


def test_what_is_surely_better_and_finds_no_less_passes():
    verdict = judged(predict(), predict(wrong=range(0, 36, 3)))
    assert verdict.is_better
    assert verdict.reason.startswith("balanced accuracy 1.000, irbis/1 0.778 on the same 200 test images of 40 groups;")
    assert "difference +0.222 (+0.1" in verdict.reason and verdict.reason.endswith("above 0 in 100.0 % of resamples")
    assert verdict.metrics["gate.difference"] == pytest.approx(2 / 9)
    assert 0 < verdict.metrics["gate.difference.low"] < 2 / 9 < verdict.metrics["gate.difference.high"]
    assert verdict.metrics["gate.win_rate"] == 1


def test_what_is_worse_does_not_pass():
    verdict = judged(predict(wrong=range(0, 24, 3)), predict())
    assert not verdict.is_better
    assert verdict.reason.startswith("balanced accuracy is not higher; balanced accuracy 0.889, irbis/1 1.000 on")
    assert verdict.metrics["gate.difference"] == pytest.approx(-1 / 9)
    assert verdict.metrics["gate.win_rate"] == 0


def test_what_is_only_as_good_does_not_pass():
    verdict = judged(predict(wrong=[0, 30]), predict(wrong=[1, 31]))
    assert not verdict.is_better
    assert verdict.reason.startswith("balanced accuracy is not higher; ")


def test_what_may_be_better_by_chance_does_not_pass():
    verdict = judged(predict(), predict(wrong=[0, 30]))  # two encounters of forty
    assert not verdict.is_better
    assert verdict.reason.startswith(
        "balanced accuracy may be higher by chance; balanced accuracy 1.000, irbis/1 0.958 "
    )
    assert verdict.metrics["gate.difference.low"] == 0 and 0.8 < verdict.metrics["gate.win_rate"] < 0.95


def test_a_version_that_is_better_overall_but_loses_recall_on_a_class_of_interest_does_not_pass():
    ours, theirs = predict(wrong=[36]), predict(wrong=range(35))
    verdict = judged(ours, theirs)
    assert not verdict.is_better
    assert verdict.reason.startswith("recall of leopard is lower, 0.750 instead of 1.000; balanced accuracy 0.917, ")
    assert verdict.metrics["gate.win_rate"] > 0.99
    assert judged(ours, theirs, interesting=("hare",)).is_better  # leopards are not of interest here


def test_all_reasons_against_a_version_are_listed():
    why = judged(predict(wrong=[30, 36]), predict()).reason
    assert "is not higher, and recall of hare is lower, 0.917 instead of 1.000, and recall of leopard is lower" in why


def test_a_class_of_interest_without_a_test_image_decides_nothing():
    assert judged(predict(), predict(wrong=range(0, 36, 3)), interesting=("wolf",)).is_better


def test_the_metric_is_the_one_of_the_settings():
    blanks, animals = predict(wrong=range(24, 32)), predict(wrong=range(12))
    assert judged(blanks, animals, (), "accuracy").reason.startswith(
        "accuracy may be higher by chance; accuracy 0.800, "
    )
    assert judged(blanks, animals, ()).reason.startswith("balanced accuracy is not higher; balanced accuracy 0.778, ")

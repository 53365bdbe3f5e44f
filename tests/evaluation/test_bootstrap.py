from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics as reference

from pipelines.evaluation.bootstrap import percentile_interval, resample_groups
from pipelines.evaluation.evaluate import evaluate
from pipelines.evaluation.results import Interval

from .sample_predictions import made, of_predictions


def test_resampled_intervals_equal_a_plain_loop_over_scikit_learn():
    labels, probabilities, classes, groups = made(rows=120, groups=25)
    found = evaluate(labels, probabilities, classes, groups, bootstrap=60, seed=3)
    names = sorted(set(groups))
    rows_of = {name: [row for row, group in enumerate(groups) if group == name] for name in names}
    truth, loop = np.array(labels), {"balanced_accuracy": [], "macro_f1": [], "log_loss": [], "ranked": []}
    for drawn in np.concatenate(list(resample_groups(len(names), 60, 3)), axis=1).T:
        rows = [row for name, times in zip(names, drawn, strict=True) for row in rows_of[name] * int(times)]
        predictions = [classes[each] for each in probabilities[rows].argmax(axis=1)]
        loop["balanced_accuracy"].append(reference.balanced_accuracy_score(truth[rows], predictions))
        loop["macro_f1"].append(reference.f1_score(truth[rows], predictions, average="macro"))
        loop["log_loss"].append(reference.log_loss(truth[rows], probabilities[rows], labels=classes))
        ranked = reference.average_precision_score(truth[rows] == classes[1], probabilities[rows, 1])
        loop["ranked"].append(ranked)
    intervals = {**found.metrics, "ranked": found.per_class[classes[1]].average_precision}
    for name, values in loop.items():
        expected = np.quantile(values, (0.025, 0.975))
        assert (intervals[name].low, intervals[name].high) == pytest.approx(expected), name


def test_grouped_interval_is_wider_on_bursts_of_copies():
    labels, probabilities, classes, _ = made(rows=60)
    copied = [label for label in labels for _ in range(9)], np.repeat(probabilities, 9, axis=0), classes
    bursts = evaluate(*copied, [str(row // 9) for row in range(540)]).metrics["accuracy"]
    images = evaluate(*copied, [str(row) for row in range(540)]).metrics["accuracy"]
    assert bursts.value == images.value
    assert 2.5 < (bursts.high - bursts.low) / (images.high - images.low) < 3.5  # the square root of nine


def test_interval_of_accuracy_has_the_binomial_width():
    right = [True] * 800 + [False] * 200
    predictions = ["deer" if each else "blank" for each in right]
    found = of_predictions(["deer"] * 1000, predictions, bootstrap=4000).metrics["accuracy"]
    assert (found.value, found.low, found.high) == pytest.approx((0.8, 0.7752, 0.8248), abs=0.003)


def test_rare_classes_raise_no_warning_and_keep_their_interval():
    labels = ["deer"] * 40 + ["ocelot"] * 3
    predictions = ["deer"] * 38 + ["ocelot", "blank"] + ["ocelot", "ocelot", "deer"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = of_predictions(labels, predictions)
    recall = found.per_class["ocelot"].recall
    assert (recall.value, recall.low, recall.high) == (pytest.approx(2 / 3), 0.0, 1.0)


def test_class_of_one_group_has_no_interval():
    found = of_predictions(
        ["deer", "deer", "blank", "blank"], ["deer", "blank", "blank", "blank"], ["a", "a", "b", "c"]
    )
    assert found.per_class["deer"].recall == Interval(0.5, None, None)
    assert found.per_class["deer"].groups == 1
    right = of_predictions(["deer", "blank"], ["deer", "blank"], ["a", "b"]).per_class["deer"]
    assert right.recall == Interval(1.0, None, None)


def test_no_error_in_ten_groups_is_not_certainty():
    found = of_predictions(["deer", "blank"] * 10, ["deer", "blank"] * 10, [str(row // 2) for row in range(20)])
    low = 0.025 ** (1 / 10)  # Clopper and Pearson with ten trials
    assert found.per_class["deer"].recall == Interval(1.0, pytest.approx(low), 1.0)
    assert low == pytest.approx(0.6915, abs=1e-4)
    assert found.metrics["balanced_accuracy"] == Interval(1.0, None, None)


def test_chunks_do_not_change_the_draws():
    whole = np.concatenate(list(resample_groups(50, 40, seed=7)), axis=1)
    parts = list(resample_groups(50, 40, seed=7, rows=1_000_000))
    assert len(parts) == 10
    assert np.array_equal(np.concatenate(parts, axis=1), whole)
    assert (whole.sum(axis=0) == 50).all()


def test_undefined_resamples_are_left_out():
    resampled = np.array([np.nan, 0.2, 0.4, np.nan])
    assert percentile_interval(0.3, resampled, groups=2, confidence=0.5) == Interval(
        0.3, pytest.approx(0.25), pytest.approx(0.35)
    )
    assert percentile_interval(float("nan"), resampled, groups=2, confidence=0.5) == Interval(None)

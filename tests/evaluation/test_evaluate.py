from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics as reference

from pipelines.evaluation.evaluate import evaluate
from pipelines.evaluation.results import Evaluation, Interval, text_table
from pipelines.metrics.registry import all_metrics

from .sample_predictions import CLASSES, made, of_predictions


def test_values_equal_scikit_learn():
    labels, probabilities, classes, groups = made()
    found = evaluate(labels, probabilities, classes, groups, bootstrap=0)
    predictions = [classes[each] for each in probabilities.argmax(axis=1)]
    is_class = np.array([[label == name for name in classes] for label in labels])
    expected = {
        "accuracy": reference.accuracy_score(labels, predictions),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, predictions),
        "macro_f1": reference.f1_score(labels, predictions, average="macro"),
        "log_loss": reference.log_loss(labels, probabilities, labels=classes),
        "mean_average_precision": reference.average_precision_score(is_class, probabilities, average="macro"),
    }
    for name, value in expected.items():
        assert found.metrics[name] == Interval(pytest.approx(value, abs=1e-12)), name
    assert found.confusion == tuple(map(tuple, reference.confusion_matrix(labels, predictions, labels=classes)))
    table = reference.precision_recall_fscore_support(labels, predictions, labels=classes)
    for place, figures in enumerate(found.per_class.values()):
        values = (figures.precision.value, figures.recall.value, figures.f1.value, figures.support)
        assert values == pytest.approx([column[place] for column in table])
        ranked = reference.average_precision_score(is_class[:, place], probabilities[:, place])
        assert figures.average_precision.value == pytest.approx(ranked)


def test_the_files_of_the_metrics_are_listed_once(monkeypatch):
    listed = []
    monkeypatch.setattr("pipelines.evaluation.bootstrap.MAX_CELLS", 1_000)  # a chunk of a few resamples
    monkeypatch.setattr("pipelines.evaluation.evaluate.all_metrics", lambda: listed.append(1) or all_metrics())
    evaluate(*made(), bootstrap=50)
    assert listed == [1]


def test_average_precision_with_equal_scores_equals_scikit_learn():
    labels, probabilities, classes, groups = made(rows=400)
    coarse = np.floor(probabilities * 4)
    coarse = (coarse + 0.5) / (coarse + 0.5).sum(axis=1, keepdims=True)
    found = evaluate(labels, coarse, classes, groups, bootstrap=0)
    for place, name in enumerate(classes):
        expected = reference.average_precision_score([label == name for label in labels], coarse[:, place])
        assert found.per_class[name].average_precision.value == pytest.approx(expected)


def test_figures_of_a_small_case_by_hand():
    found = of_predictions(["deer", "deer", "deer", "blank"], ["deer", "deer", "blank", "blank"], bootstrap=0)
    assert found.metrics["accuracy"].value == 0.75
    assert found.metrics["balanced_accuracy"].value == pytest.approx((2 / 3 + 1) / 2)
    assert found.metrics["macro_f1"].value == pytest.approx((0.8 + 2 / 3) / 2)
    assert found.confusion == ((1, 0, 0), (1, 2, 0), (0, 0, 0))
    assert found.per_class["blank"].precision.value == 0.5


def test_class_without_images_is_undefined_and_left_out_of_the_means():
    found = of_predictions(["deer", "blank"], ["deer", "ocelot"], bootstrap=0)
    ocelot = found.per_class["ocelot"]
    assert (ocelot.support, ocelot.recall.value, ocelot.average_precision.value) == (0, None, None)
    assert (ocelot.precision.value, ocelot.review_share_99.value) == (0.0, None)
    assert found.per_class["blank"].precision.value is None
    assert found.metrics["balanced_accuracy"].value == 0.5
    assert found.metrics["macro_f1"].value == pytest.approx(1 / 3)


def test_calibration_error_by_hand():
    top = [0.9, 0.9, 0.9, 0.9, 0.6, 0.6]  # three of four right, then one of two: (4 * .15 + 2 * .1) / 6
    probabilities = [[1 - each, each, 0] for each in top]
    labels = ["deer", "deer", "deer", "blank", "deer", "blank"]
    found = evaluate(labels, probabilities, CLASSES, list("abcdef"))
    assert found.metrics["calibration_error"] == Interval(pytest.approx(0.8 / 6), None, None)
    filled = {
        round(each.high, 3): (each.confidence, each.accuracy, each.count) for each in found.reliability if each.count
    }
    assert filled == {0.6: (pytest.approx(0.6), 0.5, 2), 0.933: (pytest.approx(0.9), 0.75, 4)}
    assert len(found.reliability) == 15


def test_order_of_rows_changes_nothing():
    labels, probabilities, classes, groups = made()
    order = np.random.default_rng(1).permutation(len(labels))
    shuffled = [labels[row] for row in order], probabilities[order], classes, [groups[row] for row in order]
    first, second = evaluate(labels, probabilities, classes, groups), evaluate(*shuffled)
    assert second.metrics["balanced_accuracy"] == first.metrics["balanced_accuracy"]
    assert second.per_class == first.per_class


def test_evaluation_goes_through_json():
    found = evaluate(*made(), bootstrap=50)
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert values["is_grouped"] is True
    assert Evaluation.from_dict(values) == found


def test_one_class_alone_can_be_evaluated():
    found = evaluate(["deer"] * 4, np.ones((4, 1)), ["deer"], list("abcd"))
    assert found.metrics["accuracy"].value == 1.0
    assert (found.metrics["log_loss"].value, found.confusion, found.is_grouped) == (0.0, ((4,),), False)


def test_certain_and_wrong_costs_a_finite_log_loss():
    found = of_predictions(["deer", "blank"], ["blank", "blank"], bootstrap=10)
    assert found.metrics["log_loss"].value == pytest.approx(-np.log(np.finfo(float).eps) / 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["deer", "lynx"]}, r"1 labels are not in the classes, for example 'lynx'"),
        ({"labels": ["deer", None]}, r"1 labels are not in the classes, for example None"),
        ({"probabilities": [[0.5, 0.5], [np.nan, 1]]}, r"1 rows have probabilities that are NaN"),
        ({"probabilities": [[0.5, 0.5], [-0.5, 1.5]]}, r"not between 0 and 1"),
        ({"probabilities": [[0.5, 0.5], [0.5, 0.6]]}, r"Probabilities of 1 rows do not sum to 1"),
        ({"probabilities": [[0.5, 0.5]]}, r"shape \(1, 2\), expected \(2, 2\)"),
        ({"groups": ["a"]}, r"1 groups for 2 labels"),
        ({"groups": ["a", None]}, r"1 rows have no group"),
        ({"classes": ["deer", "deer"]}, r"Classes must be distinct"),
        ({"labels": [], "probabilities": [], "groups": []}, r"no rows to evaluate"),
        ({"confidence": 95}, r"confidence 95"),
    ],
)
def test_bad_input_is_refused_with_its_reason(change, message):
    good = {
        "labels": ["deer", "blank"],
        "probabilities": [[0.2, 0.8], [0.6, 0.4]],
        "classes": ["blank", "deer"],
        "groups": ["a", "b"],
    }
    with pytest.raises(ValueError, match=message):
        evaluate(**{**good, **change})


def test_all_faults_are_reported_at_once():
    with pytest.raises(ValueError) as raised:
        evaluate(["lynx"], [[np.nan, 1.0]], ["blank", "deer"], [])
    assert len(str(raised.value).splitlines()) == 3


def test_text_table_is_aligned():
    found = of_predictions(["deer", "deer", "blank", "blank"], ["deer", "blank", "blank", "blank"], bootstrap=0)
    assert text_table(found).splitlines() == [
        "4 images, 4 groups",
        "",
        "accuracy                0.750",
        "balanced accuracy       0.750",
        "calibration error       0.250",
        "log loss                9.011",
        "macro f1                0.733",
        "mean average precision  0.708",
        "",
        "class   images  groups  precision  recall  AP    review share at recall .99",
        "blank   2       2       0.67       1.00    0.67  0.75",
        "deer    2       2       1.00       0.50    0.75  1.00",
        "ocelot  0       0       -          -       -     -",
    ]

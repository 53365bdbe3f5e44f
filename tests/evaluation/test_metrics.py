from __future__ import annotations

import json
import time
import warnings

import numpy as np
import pytest
from sklearn import metrics as reference

from pipelines.evaluation.bootstrap import draws, interval
from pipelines.evaluation.metrics import Evaluation, Interval, evaluate, review_share, text_table

CLASSES = ["blank", "deer", "ocelot"]


def made(rows=300, groups=60, classes=3, seed=0):
    """Give labels, probabilities, classes and groups of a middling classifier."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(classes, size=rows)
    scores = generator.normal(size=(rows, classes))
    scores[np.arange(rows), truth] += 1.5
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    names = [f"class {place}" for place in range(classes)]
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


def test_average_precision_with_equal_scores_equals_scikit_learn():
    labels, probabilities, classes, groups = made(rows=400)
    coarse = np.floor(probabilities * 4)
    coarse = (coarse + 0.5) / (coarse + 0.5).sum(axis=1, keepdims=True)
    found = evaluate(labels, coarse, classes, groups, bootstrap=0)
    for place, name in enumerate(classes):
        expected = reference.average_precision_score([label == name for label in labels], coarse[:, place])
        assert found.per_class[name].average_precision.value == pytest.approx(expected)


def test_resampled_intervals_equal_a_plain_loop_over_scikit_learn():
    labels, probabilities, classes, groups = made(rows=120, groups=25)
    found = evaluate(labels, probabilities, classes, groups, bootstrap=60, seed=3)
    names = sorted(set(groups))
    rows_of = {name: [row for row, group in enumerate(groups) if group == name] for name in names}
    truth, loop = np.array(labels), {"balanced_accuracy": [], "macro_f1": [], "log_loss": [], "ranked": []}
    for drawn in np.concatenate(list(draws(len(names), 60, 3)), axis=1).T:
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
    pictures = evaluate(*copied, [str(row) for row in range(540)]).metrics["accuracy"]
    assert bursts.value == pictures.value
    assert 2.5 < (bursts.high - bursts.low) / (pictures.high - pictures.low) < 3.5  # the square root of nine


def test_interval_of_accuracy_has_the_binomial_width():
    right = [True] * 800 + [False] * 200
    predictions = ["deer" if each else "blank" for each in right]
    found = of_predictions(["deer"] * 1000, predictions, bootstrap=4000).metrics["accuracy"]
    assert (found.value, found.low, found.high) == pytest.approx((0.8, 0.7752, 0.8248), abs=0.003)


def test_figures_of_a_small_case_by_hand():
    found = of_predictions(["deer", "deer", "deer", "blank"], ["deer", "deer", "blank", "blank"], bootstrap=0)
    assert found.metrics["accuracy"].value == 0.75
    assert found.metrics["balanced_accuracy"].value == pytest.approx((2 / 3 + 1) / 2)
    assert found.metrics["macro_f1"].value == pytest.approx((0.8 + 2 / 3) / 2)
    assert found.confusion == ((1, 0, 0), (1, 2, 0), (0, 0, 0))
    assert found.per_class["blank"].precision.value == 0.5


def test_class_without_pictures_is_undefined_and_left_out_of_the_means():
    found = of_predictions(["deer", "blank"], ["deer", "ocelot"], bootstrap=0)
    ocelot = found.per_class["ocelot"]
    assert (ocelot.support, ocelot.recall.value, ocelot.average_precision.value) == (0, None, None)
    assert (ocelot.precision.value, ocelot.review_share_99.value) == (0.0, None)
    assert found.per_class["blank"].precision.value is None
    assert found.metrics["balanced_accuracy"].value == 0.5
    assert found.metrics["macro_f1"].value == pytest.approx(1 / 3)


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


def test_review_share_looks_at_pictures_in_the_order_of_the_probability():
    deer = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05])
    labels = ["deer", "blank", "deer", "blank", "deer", "blank", "blank", "deer", "blank", "blank"]
    probabilities = np.column_stack([1 - deer, deer])
    share = {
        recall: review_share(labels, probabilities, CLASSES[:2], class_of_interest="deer", recall=recall)
        for recall in (0.25, 0.5, 0.75, 0.76, 1.0)
    }
    assert share == {0.25: 0.1, 0.5: 0.3, 0.75: 0.5, 0.76: 0.8, 1.0: 0.8}


def test_review_share_looks_at_equal_scores_together():
    probabilities = [[0.5, 0.5]] * 10
    labels = ["deer"] + ["blank"] * 9
    assert review_share(labels, probabilities, CLASSES[:2], class_of_interest="deer", recall=0.95) == 1.0


def test_evaluation_holds_review_shares_with_intervals():
    labels, probabilities, classes, groups = made(rows=1000, groups=200)
    figures = evaluate(labels, probabilities, classes, groups).per_class[classes[0]]
    for share, recall in ((figures.review_share_99, 0.99), (figures.review_share_95, 0.95)):
        again = review_share(labels, probabilities, classes, class_of_interest=classes[0], recall=recall)
        assert share.value == again
        assert share.low < share.value < share.high
    assert figures.review_share_95.value < figures.review_share_99.value


def test_order_of_rows_changes_nothing():
    labels, probabilities, classes, groups = made()
    order = np.random.default_rng(1).permutation(len(labels))
    shuffled = [labels[row] for row in order], probabilities[order], classes, [groups[row] for row in order]
    first, second = evaluate(labels, probabilities, classes, groups), evaluate(*shuffled)
    assert second.metrics["balanced_accuracy"] == first.metrics["balanced_accuracy"]
    assert second.per_class == first.per_class


def test_chunks_do_not_change_the_draws():
    whole = np.concatenate(list(draws(50, 40, seed=7)), axis=1)
    parts = list(draws(50, 40, seed=7, rows=1_000_000))
    assert len(parts) == 10
    assert np.array_equal(np.concatenate(parts, axis=1), whole)
    assert (whole.sum(axis=0) == 50).all()


def test_undefined_resamples_are_left_out():
    resampled = np.array([np.nan, 0.2, 0.4, np.nan])
    assert interval(0.3, resampled, groups=2, confidence=0.5) == Interval(0.3, pytest.approx(0.25), pytest.approx(0.35))
    assert interval(float("nan"), resampled, groups=2, confidence=0.5) == Interval(None)


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
        ({"probabilities": [[0.5, 0.5]]}, r"shape \(1, 2\); \(2, 2\) was expected"),
        ({"groups": ["a"]}, r"1 groups for 2 labels"),
        ({"groups": ["a", None]}, r"1 rows have no group"),
        ({"classes": ["deer", "deer"]}, r"Classes must be different"),
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


def test_all_faults_are_said_at_once():
    with pytest.raises(ValueError) as raised:
        evaluate(["lynx"], [[np.nan, 1.0]], ["blank", "deer"], [])
    assert len(str(raised.value).splitlines()) == 3


def test_review_share_of_an_unknown_class_is_refused():
    with pytest.raises(ValueError, match=r"Class 'lynx' is not one of the classes: blank, deer"):
        review_share(["deer"], [[0.1, 0.9]], ["blank", "deer"], class_of_interest="lynx", recall=0.95)
    with pytest.raises(ValueError, match=r"No picture has the label 'blank'"):
        review_share(["deer"], [[0.1, 0.9]], ["blank", "deer"], class_of_interest="blank", recall=0.95)


def test_text_table_is_aligned():
    found = of_predictions(["deer", "deer", "blank", "blank"], ["deer", "blank", "blank", "blank"], bootstrap=0)
    assert text_table(found).splitlines() == [
        "4 pictures, 4 groups",
        "",
        "accuracy                0.750",
        "balanced accuracy       0.750",
        "macro f1                0.733",
        "mean average precision  0.708",
        "log loss                9.011",
        "calibration error       0.250",
        "",
        "class   pictures  groups  precision  recall  AP    review share at recall .99",
        "blank   2         2       0.67       1.00    0.67  0.75",
        "deer    2         2       1.00       0.50    0.75  1.00",
        "ocelot  0         0       -          -       -     -",
    ]


def test_two_thousand_groups_of_ten_classes_take_seconds_at_most():
    given = made(rows=2000, groups=2000, classes=10)
    start = time.perf_counter()
    evaluate(*given)
    assert time.perf_counter() - start < 5  # 0.15 s on two quiet cores

"""Two models on the same images: how much better is the one, and could it be chance?"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from pipelines.evaluation.paired_bootstrap import paired_bootstrap
from pipelines.evaluation.predictions import PredictionSet
from pipelines.evaluation.results import Interval

CLASSES = ("blank", "deer", "ocelot")


def certain(labels, predictions, groups, classes=CLASSES):
    """Return predictions with probability 1."""
    probabilities = np.eye(len(classes))[[classes.index(each) for each in predictions]]
    return PredictionSet(labels, probabilities, classes, groups, groups)


def survey(rows=150, groups=30, seed=0):
    """Return labels, groups, and two sets of predictions of which 75 % are correct."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(CLASSES, rows).tolist()
    guesses = [np.where(generator.random(rows) < 0.75, labels, generator.choice(CLASSES, rows)) for _ in range(2)]
    names = [f"g{each}" for each in generator.integers(groups, size=rows)]
    return labels, names, *(each.tolist() for each in guesses)


def of(metric, labels, predictions):
    return {
        "accuracy": lambda: reference.accuracy_score(labels, predictions),
        "balanced_accuracy": lambda: reference.balanced_accuracy_score(labels, predictions),
        "macro_f1": lambda: reference.f1_score(labels, predictions, average="macro"),
    }[metric]()


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "macro_f1"])
def test_it_equals_a_plain_loop_that_draws_the_same_groups_for_both(metric):
    labels, groups, ours, theirs = survey()
    found = paired_bootstrap(
        certain(labels, ours, groups), certain(labels, theirs, groups), metric, bootstrap=80, seed=4
    )
    names, truth, ours, theirs = sorted(set(groups)), *map(np.array, (labels, ours, theirs))
    differences = []
    for drawn in np.random.default_rng(4).integers(len(names), size=(80, len(names))):
        rows = [row for place in drawn for row in range(len(groups)) if groups[row] == names[place]]
        differences.append(of(metric, truth[rows], ours[rows]) - of(metric, truth[rows], theirs[rows]))
    assert (found.candidate, found.champion) == pytest.approx((of(metric, truth, ours), of(metric, truth, theirs)))
    assert found.difference.value == pytest.approx(found.candidate - found.champion)
    assert (found.difference.low, found.difference.high) == pytest.approx(
        tuple(np.quantile(differences, (0.025, 0.975)))
    )
    assert found.win_rate == pytest.approx(np.mean(np.array(differences) > 1e-12))
    assert (found.images, found.groups) == (150, 30)


def test_neither_the_order_of_the_one_nor_of_the_other_matters():
    labels, groups, ours, theirs = survey()
    both = [certain(labels, ours, groups), certain(labels, theirs, groups)]
    order = np.random.default_rng(1).permutation(len(labels))
    shuffled = certain(*([values[row] for row in order] for values in (labels, theirs, groups)))
    assert paired_bootstrap(both[0], shuffled, "balanced_accuracy") == paired_bootstrap(*both, "balanced_accuracy")


def test_a_pair_says_more_than_two_intervals_that_overlap():
    labels, groups = ["deer", "blank"] * 60, [str(row // 4) for row in range(120)]
    hard = [row for row in range(120) if row // 4 % 3 == 0]  # every third group is beyond both
    theirs = ["ocelot" if row in hard else label for row, label in enumerate(labels)]
    worse = ["ocelot" if row % 20 == 4 else each for row, each in enumerate(theirs)]
    one, other = certain(labels, theirs, groups), certain(labels, worse, groups)
    intervals = [each.evaluate(1000).metrics["accuracy"] for each in (one, other)]
    assert intervals[0].low < intervals[1].high
    found = paired_bootstrap(one, other, "accuracy")
    assert found.difference.low > 0 and found.win_rate > 0.97


def test_the_same_answers_are_not_better():
    labels, groups, ours, _ = survey()
    found = paired_bootstrap(*[certain(labels, ours, groups)] * 2, "macro_f1")
    assert (found.difference, found.win_rate, found.is_higher) == (Interval(0.0), 0.0, False)


def test_recall_covers_the_classes_with_images_and_is_zero_for_unknown_classes():
    labels, groups = ["deer", "deer", "blank"], ["a", "b", "c"]
    found = paired_bootstrap(certain(labels, labels, groups), certain(labels, ["blank"] * 3, groups), "accuracy")
    assert found.recalls == {"blank": (1.0, 1.0), "deer": (1.0, 0.0)}


def test_of_one_group_nothing_can_be_drawn():
    found = paired_bootstrap(certain(["deer"], ["deer"], ["a"]), certain(["deer"], ["blank"], ["a"]), "accuracy")
    assert (found.difference, found.win_rate, found.is_higher) == (Interval(1.0), 0.0, True)


def test_answers_about_other_images_are_refused():
    one = certain(["deer", "blank"], ["deer", "blank"], ["a", "b"])
    with pytest.raises(ValueError, match="not for the same images: 2 and 2"):
        paired_bootstrap(one, certain(["deer", "blank"], ["deer", "blank"], ["a", "c"]), "accuracy")
    with pytest.raises(ValueError, match="different classes"):
        paired_bootstrap(one, certain(["deer", "blank"], ["deer", "blank"], ["a", "b"], ("blank", "deer")), "accuracy")

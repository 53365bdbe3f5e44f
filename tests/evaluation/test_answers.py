"""What is decided on validation, and measured on test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.evaluation.answers import Answers, best_views, decide, temperature_of
from pipelines.evaluation.decision import Decision
from pipelines.evaluation.measured import Measured, Part


def answers(hare, labels, bursts, classes=("blank", "hare")):
    probabilities = np.column_stack([1 - np.array(hare), hare])
    return Answers(labels, probabilities, classes, bursts, [f"g{burst}" for burst in bursts])


VALIDATION = answers([0.9, 0.1, 0.1, 0.2, 0.6], ["hare", "hare", "blank", "blank", "hare"], list("aabbc"))


def test_thresholds_are_on_the_votes():
    decision = decide(VALIDATION, ["hare"], "mean")
    assert decision.points[0].threshold == pytest.approx(0.5)  # the mean of the first burst
    weighed = decide(VALIDATION, ["hare"], "max")
    assert weighed.points[2].threshold == pytest.approx(0.9 / 1.8)
    assert [(point.unit, point.recall, point.units) for point in decision.points] == [
        ("picture", 0.99, 3),
        ("picture", 0.95, 3),
        ("burst", 0.99, 2),
        ("burst", 0.95, 2),
        ("group", 0.99, 2),
        ("group", 0.95, 2),
    ]


def test_the_weight_is_chosen_where_none_is_given():
    chosen = decide(VALIDATION, ["hare"], "auto").weight
    losses = {}
    for weight in (0.0, 0.25, 0.5, 0.75, 1.0):
        said = VALIDATION.voted(weight).probabilities[np.arange(5), VALIDATION.truth]
        losses[weight] = -np.log(said[[0, 1, 4]]).mean() - np.log(said[[2, 3]]).mean()
    assert chosen == min(losses, key=losses.get)


def test_no_vote_is_chosen_where_every_vote_costs_predictions():
    mixed = answers([0.7, 0.1, 0.2, 0.1, 0.6], ["hare", "blank", "blank", "blank", "hare"], list("aaabc"))
    decision = decide(mixed, ["hare"], "auto")  # frames of three cameras, taken for one burst
    assert decision.weight is None
    assert decision.points[0].threshold == 0.6  # of the images' own probabilities
    assert decide(mixed, ["hare"], "none") == decision
    assert mixed.voted(None).probabilities is mixed.probabilities


def test_a_class_that_validation_lacks_has_no_point():
    decision = decide(
        Answers(
            VALIDATION.labels,
            np.pad(VALIDATION.probabilities, ((0, 0), (0, 1))),
            ("blank", "hare", "wolf"),
            VALIDATION.bursts,
            VALIDATION.groups,
        ),
        ["hare", "wolf"],
        "mean",
    )
    assert decision.interesting == ("hare", "wolf")
    assert {point.label for point in decision.points} == {"hare"}


def test_without_validation_nothing_is_decided():
    assert decide(None, ["hare"], "auto") == Decision(0.0, ("hare",), ())
    assert decide(None, ["hare"], "none") == Decision(None, ("hare",), ())
    assert temperature_of(None) == 1.0


def test_test_pictures_are_measured_at_the_thresholds_of_validation():
    decision = decide(VALIDATION, ["hare"], "mean")
    test = answers([0.7, 0.5, 0.3, 0.4, 0.9], ["hare", "blank", "hare", "blank", "blank"], list("aabbc"))
    measured = Measured((Part(test, test, decision),)).reviews(decision, bootstrap=0)
    found = {(each.point.unit, each.point.recall): each for each in measured}
    picture = found["picture", 0.99]
    assert (picture.share.value, picture.recall.value, picture.units) == (3 / 5, 1 / 2, 2)
    assert picture.share.low is None


def views(plain, mirrored, labels):
    one, other = answers(plain, labels, list("abcdef")), answers(mirrored, labels, list("abcdef"))
    return replace(one, mirrored=other.probabilities)


def test_both_views_are_taken_where_their_mean_is_better():
    labels = ["hare", "blank"] * 3
    said = views([0.9, 0.6, 0.8, 0.1, 0.4, 0.2], [0.7, 0.1, 0.9, 0.2, 0.9, 0.3], labels)
    both, temperature, found = best_views(said)
    assert both and found.mirrored is None
    tempered = said.tempered(temperature)
    assert found.probabilities == pytest.approx((tempered.probabilities + tempered.mirrored) / 2)
    worse = views([0.9, 0.1, 0.8, 0.1, 0.9, 0.2], [0.1, 0.9, 0.2, 0.9, 0.1, 0.7], labels)
    both, temperature, found = best_views(worse)
    assert not both
    assert temperature == temperature_of(worse.of_views(False))
    assert found.probabilities == pytest.approx(worse.tempered(temperature).probabilities)


def test_the_temperature_of_both_views_is_that_of_their_mean():
    labels = ["hare", "blank"] * 3
    said = views([0.9, 0.6, 0.8, 0.1, 0.4, 0.2], [0.7, 0.1, 0.9, 0.2, 0.9, 0.3], labels)

    def loss(temperature):
        mean = said.tempered(temperature).of_views(True)
        given = mean.probabilities[np.arange(6), mean.truth]
        return -6 * np.log(given).mean() + (np.log(temperature) / 0.5) ** 2 / 2

    best = temperature_of(said)
    assert loss(best) < min(loss(best * 1.02), loss(best / 1.02))

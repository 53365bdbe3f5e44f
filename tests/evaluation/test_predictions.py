"""Choices made on validation predictions, and measured on test."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pipelines.evaluation.held_out import HeldOutPart, HeldOutPredictions
from pipelines.evaluation.predictions import PredictionSet, choose_policy, choose_temperature, choose_views
from pipelines.evaluation.review_policy import ReviewPolicy


def predictions_of(hare, labels, bursts, classes=("blank", "hare")):
    probabilities = np.column_stack([1 - np.array(hare), hare])
    return PredictionSet(labels, probabilities, classes, bursts, [f"g{burst}" for burst in bursts])


VALIDATION = predictions_of([0.9, 0.1, 0.1, 0.2, 0.6], ["hare", "hare", "blank", "blank", "hare"], list("aabbc"))


def test_thresholds_are_on_the_votes():
    decision = choose_policy(VALIDATION, ["hare"], "mean")
    assert decision.operating_points[0].threshold == pytest.approx(0.5)  # the mean of the first burst
    weighed = choose_policy(VALIDATION, ["hare"], "max")
    assert weighed.operating_points[2].threshold == pytest.approx(0.9 / 1.8)
    assert [(point.unit, point.recall, point.units) for point in decision.operating_points] == [
        ("image", 0.99, 3),
        ("image", 0.95, 3),
        ("burst", 0.99, 2),
        ("burst", 0.95, 2),
        ("group", 0.99, 2),
        ("group", 0.95, 2),
    ]


def test_the_weight_is_chosen_where_none_is_given():
    chosen = choose_policy(VALIDATION, ["hare"], "auto").max_weight
    losses = {}
    for weight in (0.0, 0.25, 0.5, 0.75, 1.0):
        predictions = VALIDATION.aggregate_bursts(weight).probabilities[np.arange(5), VALIDATION.class_indices]
        losses[weight] = -np.log(predictions[[0, 1, 4]]).mean() - np.log(predictions[[2, 3]]).mean()
    assert chosen == min(losses, key=losses.get)


def test_no_vote_is_chosen_where_every_vote_costs_predictions():
    mixed = predictions_of([0.7, 0.1, 0.2, 0.1, 0.6], ["hare", "blank", "blank", "blank", "hare"], list("aaabc"))
    decision = choose_policy(mixed, ["hare"], "auto")  # frames of three cameras, taken for one burst
    assert decision.max_weight is None
    assert decision.operating_points[0].threshold == 0.6  # of the images' own probabilities
    assert choose_policy(mixed, ["hare"], "none") == decision
    assert mixed.aggregate_bursts(None).probabilities is mixed.probabilities


def test_a_class_that_validation_lacks_has_no_point():
    decision = choose_policy(
        PredictionSet(
            VALIDATION.labels,
            np.pad(VALIDATION.probabilities, ((0, 0), (0, 1))),
            ("blank", "hare", "wolf"),
            VALIDATION.bursts,
            VALIDATION.groups,
        ),
        ["hare", "wolf"],
        "mean",
    )
    assert decision.classes_of_interest == ("hare", "wolf")
    assert {point.label for point in decision.operating_points} == {"hare"}


def test_without_validation_nothing_is_decided():
    assert choose_policy(None, ["hare"], "auto") == ReviewPolicy(0.0, ("hare",), ())
    assert choose_policy(None, ["hare"], "none") == ReviewPolicy(None, ("hare",), ())
    assert choose_temperature(None) == 1.0


def test_test_images_are_measured_at_the_thresholds_of_validation():
    decision = choose_policy(VALIDATION, ["hare"], "mean")
    test = predictions_of([0.7, 0.5, 0.3, 0.4, 0.9], ["hare", "blank", "hare", "blank", "blank"], list("aabbc"))
    measured = HeldOutPredictions((HeldOutPart(test, test, decision),)).measure_operating_points(decision, bootstrap=0)
    found = {(each.point.unit, each.point.recall): each for each in measured}
    image = found["image", 0.99]
    assert (image.share.value, image.recall.value, image.units) == (3 / 5, 1 / 2, 2)
    assert image.share.low is None


def views(plain, flipped, labels):
    one, other = predictions_of(plain, labels, list("abcdef")), predictions_of(flipped, labels, list("abcdef"))
    return replace(one, flipped=other.probabilities)


def test_both_views_are_taken_where_their_mean_is_better():
    labels = ["hare", "blank"] * 3
    predictions = views([0.9, 0.6, 0.8, 0.1, 0.4, 0.2], [0.7, 0.1, 0.9, 0.2, 0.9, 0.3], labels)
    both, temperature, found = choose_views(predictions)
    assert both and found.flipped is None
    tempered = predictions.with_temperature(temperature)
    assert found.probabilities == pytest.approx((tempered.probabilities + tempered.flipped) / 2)
    worse = views([0.9, 0.1, 0.8, 0.1, 0.9, 0.2], [0.1, 0.9, 0.2, 0.9, 0.1, 0.7], labels)
    both, temperature, found = choose_views(worse)
    assert not both
    assert temperature == choose_temperature(worse.average_views(False))
    assert found.probabilities == pytest.approx(worse.with_temperature(temperature).probabilities)


def test_the_temperature_of_both_views_is_that_of_their_mean():
    labels = ["hare", "blank"] * 3
    predictions = views([0.9, 0.6, 0.8, 0.1, 0.4, 0.2], [0.7, 0.1, 0.9, 0.2, 0.9, 0.3], labels)

    def loss(temperature):
        mean = predictions.with_temperature(temperature).average_views(True)
        given = mean.probabilities[np.arange(6), mean.class_indices]
        return -6 * np.log(given).mean() + (np.log(temperature) / 0.5) ** 2 / 2

    best = choose_temperature(predictions)
    assert loss(best) < min(loss(best * 1.02), loss(best / 1.02))


def test_a_policy_without_a_vote_is_read_back_and_a_version_without_one_takes_the_mean():
    decision = choose_policy(VALIDATION, ["hare"], "none")
    assert json.loads(decision.to_json())["max_weight"] is None
    assert ReviewPolicy.from_json(decision.to_json()) == decision
    assert ReviewPolicy.from_json(None).max_weight == 0.0


def test_every_fold_is_held_against_its_own_threshold():
    one = predictions_of([0.9, 0.3, 0.2], ["hare", "blank", "blank"], list("abc"))
    other = predictions_of([0.4, 0.3, 0.1], ["hare", "blank", "blank"], list("def"))
    points = [choose_policy(each, ["hare"], "none") for each in (one, other)]  # thresholds .9 and .4
    final = replace(points[0], operating_points=points[0].operating_points[:1])
    measured = HeldOutPredictions((HeldOutPart(one, one, points[1]), HeldOutPart(other, other, points[0])), folds=2)
    (review,) = measured.measure_operating_points(final, bootstrap=0)
    assert review.point.threshold == 0.9
    assert (review.share.value, review.recall.value) == (pytest.approx(1 / 6), 0.5)  # .9 >= .4, and .4 < .9
    none = replace(points[1], operating_points=())
    (review,) = HeldOutPredictions(
        (HeldOutPart(one, one, none), HeldOutPart(other, other, none)), 2
    ).measure_operating_points(final, bootstrap=0)
    assert (review.share.value, review.recall.value) == (1.0, 1.0)  # without a threshold everything is looked at


def test_answers_of_folds_vote_by_the_weights_that_were_chosen_without_them():
    part = predictions_of([0.9, 0.1], ["hare", "hare"], list("aa"))
    measured = HeldOutPredictions(
        (HeldOutPart(part, part, ReviewPolicy(0.0)), HeldOutPart(part, part, ReviewPolicy(None))), folds=2
    )
    assert measured.burst_predictions.probabilities[:, 1] == pytest.approx([0.5, 0.5, 0.9, 0.1])

"""Thresholds chosen on one set of images, and what they cost and find on another."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipelines.evaluation.review_policy import (
    UNITS,
    ClassScores,
    OperatingPoint,
    OperatingPointResult,
    ReviewPolicy,
    choose_threshold,
    drop_redundant_units,
    measure_points,
    select_classes_of_interest,
)


def images(*rows, groups=None):
    """Return scores of images given as (has the class, its probability, burst)."""
    is_class, scores, bursts = zip(*rows, strict=True)
    (_, burst), (names, group) = (np.unique(each, return_inverse=True) for each in (bursts, groups or bursts))
    return ClassScores(np.array(is_class, dtype=bool), np.array(scores, dtype=float), burst, group, len(names))


def measured(point, ranked, **settings):
    (review,) = measure_points([(point, ranked)], **settings)
    return review


SEEN = images((1, 0.9, "a"), (1, 0.2, "a"), (0, 0.8, "b"), (1, 0.6, "c"), (1, 0.4, "d"), (0, 0.1, "e"), (0, 0.3, "d"))


@pytest.mark.parametrize(
    ("unit", "recall", "threshold", "units"),
    [
        ("image", 0.99, 0.2, 4),
        ("image", 0.75, 0.4, 4),
        ("image", 0.5, 0.6, 4),
        ("burst", 0.99, 0.4, 3),  # the first burst is found by its better frame
        ("burst", 0.6, 0.6, 3),
    ],
)
def test_the_threshold_is_the_highest_that_finds_enough(unit, recall, threshold, units):
    assert choose_threshold(SEEN, "hare", unit, recall) == OperatingPoint(
        "hare", unit, recall, threshold, units, groups=3
    )


def test_a_share_that_is_a_whole_number_of_units_asks_for_no_more():
    twenty = images(*[(1, place / 20, str(place)) for place in range(20)])
    assert choose_threshold(twenty, "hare", "image", 0.95).threshold == 1 / 20
    assert choose_threshold(twenty, "hare", "image", 0.99).threshold == 0


def test_a_class_without_images_has_no_operating_point():
    assert choose_threshold(images((0, 0.9, "a")), "hare", "burst", 0.99) is None


def test_price_and_recall_by_hand():
    groups = ("g1", "g1", "g2", "g3", "g3", "g2", "g3")
    ranked = images(*zip(SEEN.is_class, SEEN.scores, SEEN.bursts, strict=True), groups=groups)
    points = [(OperatingPoint("hare", unit, 0.99, 0.5, 9, 9), ranked) for unit in UNITS]
    found = dict(zip(UNITS, measure_points(points), strict=True))
    assert {review.share.value for review in found.values()} == {3 / 7}
    assert {unit: (review.recall.value, review.units) for unit, review in found.items()} == {
        "image": (2 / 4, 4),
        "burst": (2 / 3, 3),
        "group": (1.0, 2),
    }
    assert 0 < found["image"].share.low < 3 / 7 < found["image"].share.high < 1


def test_intervals_equal_a_plain_loop_that_draws_groups():
    generator = np.random.default_rng(3)
    count = 200
    bursts = [f"b{each}" for each in generator.integers(60, size=count)]
    groups = [f"g{int(each[1:]) // 3}" for each in bursts]
    ranked = images(*zip(generator.random(count) < 0.3, generator.random(count), bursts, strict=True), groups=groups)
    review = measured(OperatingPoint("hare", "burst", 0.95, 0.6, 1, 1), ranked, bootstrap=400, seed=5)
    names = sorted(set(groups))
    drawn = np.random.default_rng(5).integers(len(names), size=(400, len(names)))
    shares, recalls = [], []
    for draw in drawn:
        rows = [row for place in draw for row in range(count) if groups[row] == names[place]]
        shares.append(np.mean([ranked.scores[row] >= 0.6 for row in rows]))
        hits = []
        for place in draw:
            with_class = {bursts[row] for row in range(count) if groups[row] == names[place] and ranked.is_class[row]}
            for burst in with_class:
                own = [ranked.scores[row] for row in range(count) if bursts[row] == burst and ranked.is_class[row]]
                hits.append(max(own) >= 0.6)
        recalls.append(np.mean(hits))
    assert (review.share.low, review.share.high) == pytest.approx(tuple(np.quantile(shares, (0.025, 0.975))))
    assert (review.recall.low, review.recall.high) == pytest.approx(tuple(np.quantile(recalls, (0.025, 0.975))))


def test_a_threshold_that_finds_all_has_the_binomial_bound_of_its_groups():
    review = measured(OperatingPoint("hare", "image", 0.99, 0.2, 4, 3), SEEN)
    assert review.recall.value == review.recall.high == 1
    assert review.recall.low == pytest.approx(0.025 ** (1 / 3))  # three groups have it


def test_a_set_without_the_class_has_a_price_but_no_recall():
    review = measured(OperatingPoint("hare", "image", 0.99, 0.5, 4, 3), images((0, 0.9, "a"), (0, 0.1, "b")))
    assert (review.share.value, review.recall.value, review.units) == (0.5, None, 0)


def test_units_whose_every_figure_is_that_of_a_finer_one_are_left_out():
    def of(bursts, groups):
        rows = zip([True, True, True, False], [0.9, 0.2, 0.6, 0.4], bursts, strict=True)
        ranked = images(*rows, groups=list(groups))
        points = [choose_threshold(ranked, "hare", unit, recall) for unit in UNITS for recall in (0.99, 0.5)]
        return [each.point.unit for each in drop_redundant_units(measure_points([(point, ranked) for point in points]))]

    assert of("abcd", "abcd") == ["image"] * 2
    assert of("aacd", "aacd") == ["image"] * 2 + ["burst"] * 2
    assert of("aacd", "aaad") == ["image"] * 2 + ["burst"] * 2 + ["group"] * 2
    assert of("abcd", "aacd") == ["image"] * 2 + ["group"] * 2


@pytest.mark.parametrize(("recall", "groups"), [(0.99, 100), (0.95, 20), (0.75, 4)])
def test_a_point_is_trusted_from_as_many_groups_on_as_one_may_be_missed_of(recall, groups):
    enough, lacking = (OperatingPoint("hare", "image", recall, 0.5, 500, each) for each in (groups, groups - 1))
    assert enough.min_groups == groups
    assert (enough.is_reliable, lacking.is_reliable) == (True, False)


def test_reviews_and_decisions_go_through_json():
    point = OperatingPoint("hare", "burst", 0.95, 0.25, 70, 20)
    review = measured(point, SEEN, bootstrap=50)
    assert OperatingPointResult.from_dict(json.loads(json.dumps(review.to_dict()))) == review
    decision = ReviewPolicy(0.25, ("hare", "wolf"), (point, OperatingPoint("hare", "burst", 0.99, 0.125, 700, 99)))
    assert ReviewPolicy.from_json(decision.to_json()) == decision
    assert ReviewPolicy.from_json(None) == ReviewPolicy(0.0, (), ())
    assert decision.thresholds("burst", 0.95) == {"hare": 0.25}
    assert decision.thresholds("image", 0.95) == {}
    assert decision.classes_without_threshold("burst", 0.95) == ["wolf"]
    assert decision.thresholds("burst", 0.99) == {}  # 99 groups are one too few
    assert decision.classes_without_threshold("burst", 0.99) == ["hare", "wolf"]


def test_every_class_but_blank_is_of_interest_unless_others_are_named():
    assert select_classes_of_interest(["Blank", "None ", "deer", "empty", "hare", "nothing"], []) == ["deer", "hare"]
    assert select_classes_of_interest(["blank", "deer", "hare"], ["hare", "wolf"]) == ["hare"]

"""Votes of bursts, and their distance from what decides whether they need review."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.evaluation.burst_vote import MEAN, NO_VOTE
from pipelines.review.model_scores import Model, burst_probabilities, margins, sought_probability

DENSE = np.array([[0.2, 0.8], [0.6, 0.4], [0.0, 0.0], [0.9, 0.1]], np.float32)  # the third image was not scored
STARTS = np.array([0, 3])


@pytest.mark.parametrize(
    ("weight", "first"),
    [(MEAN, (0.4, 0.6)), (1.0, (0.6 / 1.4, 0.8 / 1.4)), (0.5, (0.5 / 1.2, 0.7 / 1.2)), (NO_VOTE, (0.6, 0.8))],
)
def test_a_burst_votes_over_its_scored_images(weight, first):
    votes = burst_probabilities(DENSE, STARTS, weight)
    assert votes == pytest.approx(np.array([first, (0.9, 0.1)]), abs=1e-6)


def model(thresholds=None, lacking=(), of_interest=("fox",)):
    return Model("1", ("blank", "fox"), of_interest, MEAN, thresholds or {}, lacking, 0.8, 0.99)


VOTES = np.array([[0.3, 0.7], [0.75, 0.25]], np.float32)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (model({"fox": 0.6}), (0.1, 0.35)),
        (model({"fox": 0.6}, lacking=("hare",)), (0.1, 0.05)),  # hare by the review threshold
        (model(), (0.1, 0.05)),
        (model({"fox": 0.6, "blank": 0.8}), (0.1, 0.05)),
    ],
)
def test_the_margin_is_the_distance_from_the_nearest_threshold_in_use(given, expected):
    assert margins(VOTES, given) == pytest.approx(expected, abs=1e-6)


def test_all_but_blank_is_sought_where_no_class_is_of_interest():
    assert sought_probability(VOTES, model(of_interest=())) == pytest.approx([0.7, 0.25])
    assert sought_probability(VOTES, model(of_interest=("blank",))) == pytest.approx([0.3, 0.75])

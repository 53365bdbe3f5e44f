"""Whether an image needs review, by the rule of score (compared with Spark in tests/stages/train/test_serve.py)."""

from __future__ import annotations

import numpy as np

from pipelines.evaluation.needs_review import ReviewRule, needs_review
from pipelines.evaluation.review_policy import OperatingPoint, ReviewPolicy

LABELS = ("blank", "fox", "lynx")
RULE = ReviewRule(0.95, "group", 0.7)
SCORES = np.array([[0.9, 0.06, 0.04], [0.9, 0.04, 0.06], [0.6, 0.04, 0.36], [0.1, 0.04, 0.86], [0.68, 0.02, 0.3]])


def policy(interest=("fox",), groups=20, threshold=0.06) -> ReviewPolicy:
    points = [
        OperatingPoint("fox", "group", 0.95, threshold, 40, groups),
        OperatingPoint("fox", "image", 0.95, 0.0, 40, groups),
        OperatingPoint("fox", "group", 0.99, 0.0, 40, 200),
    ]
    return ReviewPolicy(0.5, interest, tuple(points))


def needed(policy) -> list[bool]:
    return needs_review(SCORES, LABELS, policy, RULE).tolist()


def test_an_image_needs_review_from_the_threshold_of_a_class_of_interest_up():
    assert needed(policy()) == [True, False, False, False, False]
    assert needed(policy(threshold=0.06 + 1e-8)) == [False] * 5
    assert needed(policy(threshold=0.06 + 1e-10)) == [True, False, False, False, False]  # a last digit


def test_if_all_classes_or_none_are_of_interest_the_uncertain_images_need_review():
    expected = [False, False, True, False, True]
    assert needed(policy(LABELS)) == expected
    assert needed(policy(())) == expected


def test_a_class_without_a_reliable_threshold_needs_review_where_it_is_predicted_and_where_unsure():
    assert needed(policy(("fox", "lynx"))) == [True, False, True, True, True]
    assert needed(policy(("fox",), groups=19)) == [False, False, True, False, True]


def test_no_image_is_no_answer():
    assert needs_review(np.zeros((0, 3)), LABELS, policy(), RULE).tolist() == []

"""Whether a person must look at an image: the rule of score, on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.bootstrap import Floats
from pipelines.evaluation.review_policy import ReviewPolicy

TOLERANCE = 1e-9  # the threshold is a probability, which may be computed a last digit lower
UNREACHABLE = 2.0  # above any probability


@dataclass(frozen=True)
class ReviewRule:
    """The settings that needs_review follows: those of `score` with the same names."""

    target_recall: float
    recall_unit: Literal["image", "burst", "group"]
    review_threshold: float


def needs_review(
    probabilities: Floats, labels: Sequence[str], policy: ReviewPolicy, rule: ReviewRule
) -> NDArray[np.bool_]:
    """Return whether images need review, by the probabilities of their bursts, of shape (n, k), as score does.

    An image needs review if its burst reaches the operating point of a class of interest; if all classes are of
    interest, if the highest probability is below the review threshold. For a class of interest without a reliable
    operating point: if the burst is predicted as that class, or is below the review threshold.
    """
    is_uncertain = probabilities.max(axis=1, initial=0.0) < rule.review_threshold
    if not 0 < len(policy.classes_of_interest) < len(labels):
        return np.asarray(is_uncertain)
    thresholds = policy.thresholds(rule.recall_unit, rule.target_recall)
    limits = np.array([thresholds.get(label, UNREACHABLE) for label in labels]) - TOLERANCE
    reached = (probabilities >= limits).any(axis=1)
    lacking = policy.classes_without_threshold(rule.recall_unit, rule.target_recall)
    if not lacking:
        return np.asarray(reached)
    is_lacking = np.array([label in lacking for label in labels])[probabilities.argmax(axis=1)]
    return np.asarray(reached | is_lacking | is_uncertain)

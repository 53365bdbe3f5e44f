from __future__ import annotations

import numpy as np
import pytest

from pipelines.evaluation.evaluate import evaluate, review_fraction

from .sample_predictions import CLASSES, made


def test_review_share_looks_at_images_in_the_order_of_the_probability():
    deer = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05])
    labels = ["deer", "blank", "deer", "blank", "deer", "blank", "blank", "deer", "blank", "blank"]
    probabilities = np.column_stack([1 - deer, deer])
    share = {
        recall: review_fraction(labels, probabilities, CLASSES[:2], class_of_interest="deer", recall=recall)
        for recall in (0.25, 0.5, 0.75, 0.76, 1.0)
    }
    assert share == {0.25: 0.1, 0.5: 0.3, 0.75: 0.5, 0.76: 0.8, 1.0: 0.8}


def test_review_share_looks_at_equal_scores_together():
    probabilities = [[0.5, 0.5]] * 10
    labels = ["deer"] + ["blank"] * 9
    assert review_fraction(labels, probabilities, CLASSES[:2], class_of_interest="deer", recall=0.95) == 1.0


def test_evaluation_holds_review_shares_with_intervals():
    labels, probabilities, classes, groups = made(rows=1000, groups=200)
    figures = evaluate(labels, probabilities, classes, groups).per_class[classes[0]]
    for share, recall in ((figures.review_share_99, 0.99), (figures.review_share_95, 0.95)):
        again = review_fraction(labels, probabilities, classes, class_of_interest=classes[0], recall=recall)
        assert share.value == again
        assert share.low < share.value < share.high
    assert figures.review_share_95.value < figures.review_share_99.value


def test_review_share_of_an_unknown_class_is_refused():
    with pytest.raises(ValueError, match=r"Class 'lynx' is not one of the classes: blank, deer"):
        review_fraction(["deer"], [[0.1, 0.9]], ["blank", "deer"], class_of_interest="lynx", recall=0.95)
    with pytest.raises(ValueError, match=r"No image has the label 'blank'"):
        review_fraction(["deer"], [[0.1, 0.9]], ["blank", "deer"], class_of_interest="blank", recall=0.95)

"""The model card, from constructed predictions."""

from __future__ import annotations

import re

import numpy as np
import pytest

from pipelines.evaluation.evaluate import evaluate
from pipelines.evaluation.results import Interval
from pipelines.evaluation.review_policy import OperatingPoint, OperatingPointResult
from pipelines.reports.model_card import model_card, review_table

CLASSES = ["blank", "hare", "leopard"]
COUNTS = {
    "blank": {"train": (1400, 210), "validation": (200, 30), "test": (400, 61)},
    "hare": {"train": (300, 60), "validation": (50, 10), "test": (80, 19)},
    "leopard": {"train": (19, 4), "test": (6, 2)},
}
BACKBONE = "squeezenet1_1@d9499b02/squash224-bilinear"


def evaluate_leopards(groups=None):
    """Return an evaluation of 30 images in which 4 of 10 leopards are predicted as hare, and one hare as blank."""
    labels = [name for name in CLASSES for _ in range(10)]
    predicted = ["blank"] * 10 + ["hare"] * 9 + ["blank"] + ["leopard"] * 6 + ["hare"] * 4
    probabilities = np.eye(3)[[CLASSES.index(each) for each in predicted]]
    groups = groups or [str(row // 2) for row in range(30)]
    return evaluate(labels, probabilities, CLASSES, groups, bootstrap=100)


def reviews(groups=(12, 12, 12), units=("image", "burst", "group"), shares=(0.4, 0.4, 0.3)):
    """Yield operating points of the leopard, with the number of groups and the review share of each unit."""
    for unit, count, share in zip(units, groups, shares, strict=True):
        for recall in (0.99, 0.95):
            point = OperatingPoint("leopard", unit, recall, threshold=share, units=30, groups=count)
            yield OperatingPointResult(point, Interval(share, share - 0.1, share + 0.1), Interval(0.9), 40)


def card(backbone=BACKBONE, test=None, **changes):
    given = {
        "burst_test": evaluate_leopards(),
        "reviews": tuple(reviews()),
        "calibration": (0.125, 1.5),
        "classes_of_interest": ("hare", "leopard"),
        **changes,
    }
    return model_card("irbis", backbone, COUNTS, test or evaluate_leopards(), "a forest of three trees", **given)


def section(text, title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)[1].strip()


def test_it_says_what_the_model_is_for_and_what_not():
    text = section(card(), "Intended use")
    assert "has: blank, hare, leopard." in text and "Classes of interest:\nhare, leopard." in text
    assert "Not intended for: labels it was not trained on" in text


def test_it_counts_images_and_groups_of_each_class_and_split():
    text = section(card(), "Data")
    assert text.startswith("Images: 1,719 train, 250 validation, 486 test; split by group")
    assert text.splitlines()[1] == "Labels: 2,455 from the source, 0 from people in review. Images (groups) per class:"
    assert "\nLabels: 2,413 from the source, 42 from people in review. " in card(labelled_by_people=42)
    rows = [re.split(r"  +", line) for line in text.splitlines()[4:-1]]
    assert rows == [
        ["class", "train", "validation", "test"],
        ["blank", "1,400 (210)", "200 (30)", "400 (61)"],
        ["hare", "300 (60)", "50 (10)", "80 (19)"],
        ["leopard", "19 (4)", "0 (0)", "6 (2)"],
    ]


def test_it_names_where_the_model_is_weak():
    text = card(reviews=tuple(reviews(groups=(20, 20, 20))))  # validation has no hare
    weaknesses = section(text, "Known weaknesses").splitlines()
    assert weaknesses[0].startswith("- The metrics hold for these stations and seasons only")
    assert weaknesses[1:] == [
        "- Few groups of hare: 19 in test. Its metrics may change a lot with more.",
        "- Few groups of leopard: 4 in train, 2 in test. Its metrics may change a lot with more.",
        "- Too few groups were held out to dismiss images at recall 99%: hare, leopard.",
        "- Too few groups were held out to dismiss images at recall 95%: hare.",
        f"- Lowest recall: leopard, {evaluate_leopards().per_class['leopard'].recall.format(2)}.",
        "- Most frequent confusion: leopard predicted as hare, 4 images, 40% of its class.",
    ]
    alone = card(test=evaluate_leopards([str(row) for row in range(30)]))
    assert "- Every test image is its own group." in section(alone, "Known weaknesses")


def test_it_holds_the_figures_with_their_intervals_and_the_calibration():
    text, test = section(card(), "Test"), evaluate_leopards()
    assert f"balanced accuracy       {test.metrics['balanced_accuracy'].format()}\n" in text
    assert re.search(r"\d\.\d{3} \(\d\.\d{3} to \d\.\d{3}\)", test.metrics["balanced_accuracy"].format())
    error = test.metrics["calibration_error"].format()
    assert f"Calibration error 0.125 before, and {error} after temperature\nscaling (temperature 1.5)." in text


@pytest.mark.parametrize(
    ("backbone", "weights", "licence"),
    [
        (BACKBONE, None, "torchvision's (BSD-3-Clause); trained on ImageNet-1k, which has terms of use of its own"),
        ("irbis_tiny@27ea863c/squash160", None, "irbis's (Apache-2.0); trained on synthetic images only"),
        (BACKBONE, "/home/mia/own.safetensors", "see the provider of own.safetensors"),
    ],
)
def test_it_says_whose_the_weights_are(backbone, weights, licence):
    lines = section(card(backbone, weights=weights), "Model").splitlines()
    name, rest = backbone.split("@")
    digits, preprocessing = rest.split("/")
    assert lines[:2] == [
        f"- Backbone: {name}, weights with SHA-256 {digits}...",
        f"- Licence of the weights: {licence}",
    ]
    assert lines[2].startswith(f"- Preprocessing: {preprocessing} (")
    assert lines[3] == "- Classifier: a forest of three trees"


def test_operating_points_on_too_few_groups_are_said_to_be_unused():
    rows = review_table(tuple(reviews(groups=(99, 99, 99)))).splitlines()[1:]
    assert [row.endswith("too few groups (99 of 100): not used") for row in rows] == [True, False] * 2
    assert review_table(tuple(reviews(groups=(12,) * 3))).count("too few groups (12 of 20): not used") == 2
    assert "not used" not in review_table(tuple(reviews(groups=(100,) * 3)))


def test_units_with_equal_results_are_left_out():
    rows = review_table(tuple(reviews())).splitlines()[1:]
    assert [re.search(r"image|burst|group", row)[0] for row in rows] == ["image"] * 2 + ["group"] * 2


def test_without_operating_points_it_says_so():
    assert "there is no operating point" in section(card(reviews=()), "Review")


def test_figures_of_cross_validation_are_never_called_those_of_test():
    caveats = ("The figures are of 5-fold cross-validation.", "An owl was not evaluated.")
    text = card(folds=5, caveats=caveats)
    assert "## Test" not in text
    figures = section(text, "5-fold cross-validation")
    assert figures.startswith(
        "- The figures are of 5-fold cross-validation.\n- An owl was not evaluated.\n\n```\n30 images"
    )
    assert "recall by cross-validation" in text and "recall on test" not in text
    weaknesses = section(text, "Known weaknesses").splitlines()
    assert weaknesses[1] == "- Few groups of leopard: 6 in all. Its metrics may change a lot with more."
    assert section(card(caveats=caveats), "Test").startswith("- The figures are of")

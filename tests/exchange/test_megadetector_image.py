"""Boxes of a detector with the labels of irbis, as results of MegaDetector have them."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.exchange.megadetector_image import (
    MIN_CONFIDENCE,
    Ids,
    format_image,
    number_categories,
    number_classes,
)
from pipelines.exchange.observation_types import find_meaning

NAMES = ("animal", "person", "vehicle", "fox", "hare", "blank", "unknown", "ranger_person", "Elk")
IDS = Ids(
    {name: name for name in NAMES},
    {"animal": "1", "person": "2", "vehicle": "3", "Elk": "4"},
    {name: find_meaning(name, {})[0] for name in NAMES},
)
WHOLE = [0.0, 0.0, 1.0, 1.0]


def box(category: str, score: float | None, x: float = 0.1) -> dict[str, Any]:
    return {"number": 0, "category": category, "score": score, "x": x, "y": 0.2, "width": 1 / 3, "height": 0.4}


def formatted(*boxes: dict[str, Any], **values: Any) -> dict[str, Any]:
    names = ("label", "label_source", "failure", "prediction", "score", "probabilities")
    row = {**dict.fromkeys(names), "relative_path": "a.jpg", "is_unknown": False, "boxes": list(boxes) or None}
    return format_image({**row, **values}, IDS)


def shown(image: dict[str, Any]) -> list[tuple[str, float, str | None]]:
    """Return category, confidence and first class of each detection."""
    return [
        (each["category"], each["conf"], each["classifications"][0][0] if "classifications" in each else None)
        for each in image["detections"]
    ]


BY_MODEL = {"prediction": "fox", "score": 0.7, "probabilities": {"fox": 0.7, "hare": 0.2, "blank": 0.1}}


def test_the_prediction_classifies_each_animal_box_and_no_other():
    image = formatted(box("animal", 0.9), box("person", 0.8), box("animal", 0.01), box("Elk", None), **BY_MODEL)
    assert shown(image) == [("1", 0.9, "fox"), ("2", 0.8, None), ("1", MIN_CONFIDENCE, "fox"), ("4", 1.0, "fox")]
    assert image["detections"][0] == {
        "category": "1",
        "conf": 0.9,
        "bbox": [0.1, 0.2, 0.33333, 0.4],
        "classifications": [["fox", 0.7], ["hare", 0.2], ["blank", 0.1]],
    }
    assert (image["label"], image["label_source"]) == ("fox", "model")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (BY_MODEL, ("1", 0.9, "fox")),
        ({"label": "blank", "label_source": "source"}, ("1", MIN_CONFIDENCE, "blank")),
        ({"is_unknown": True, "label_source": "person"}, ("1", 1.0, "unknown")),
        ({"prediction": "blank", "score": 0.6}, ("1", 0.4, "blank")),
        ({"label": "Elk", "label_source": "person"}, ("4", 1.0, "Elk")),  # a category of the detector
    ],
)
def test_a_label_without_a_box_of_its_category_gets_one_around_the_whole_image(values, expected):
    image = formatted(box("person", 0.8), **values)
    assert shown(image) == [("2", 0.8, None), expected]
    assert image["detections"][1]["bbox"] == WHOLE


def test_a_label_of_people_classifies_their_boxes():
    image = formatted(box("animal", 0.9), box("person", 0.8), label="ranger_person", label_source="person")
    assert shown(image) == [("1", 0.9, None), ("2", 0.8, "ranger_person")]
    assert (image["label"], image["label_source"]) == ("ranger_person", "person")


def test_boxes_without_a_label_have_no_classes_and_a_failure_without_boxes_is_one():
    image = formatted(box("animal", 0.9), failure="truncated")
    assert image == {
        "file": "a.jpg",
        "detections": [{"category": "1", "conf": 0.9, "bbox": [0.1, 0.2, 0.33333, 0.4]}],
    }
    assert formatted(failure="truncated") == {"file": "a.jpg", "detections": None, "failure": "truncated"}


def test_categories_of_other_detectors_follow_those_of_megadetector():
    assert number_categories(["elk", "Person", "boar"]) == {
        "animal": "1",
        "person": "2",
        "vehicle": "3",
        "Person": "2",
        "boar": "4",
        "elk": "5",
    }
    assert number_classes(["elk", "fox"], ["animal", "Elk"]) == {"fox": "1", "elk": "2"}

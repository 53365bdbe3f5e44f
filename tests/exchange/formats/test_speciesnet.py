"""Predictions of SpeciesNet, before and since version 5.0.6."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipelines.errors import DataError
from pipelines.exchange.formats.speciesnet import matches, read, to_label

FOX = "1f9b7a06;mammalia;carnivora;canidae;vulpes;vulpes;red fox"
BLANK = "f1856211-cfb7-4a5b-9158-c0f72fd09ee6;;;;;;blank"
NOTHING = "f2efdae9-efb8-48fb-8a91-eccf79ab4ffb" + ";no cv result" * 6
HUMAN = "990ae9dd-7a59-4344-afcb-1b7b21368000;mammalia;primates;hominidae;homo;sapiens;human"


def write(folder: Path, predictions: list[Any], info: Any = None) -> Path:
    path = folder / "predictions.json"
    path.write_text(json.dumps(({"info": info} if info else {}) | {"predictions": predictions}))
    return path


def box(conf: float, category: str = "1", label: str = "animal", **values: Any) -> dict[str, Any]:
    return {"category": category, "label": label, "conf": conf, "bbox": [0.1, 0.2, 0.3, 0.4], **values}


def processed(name: str, score: float) -> dict[str, Any]:
    raw = {"classes": ["x", "y"], "scores": [0.5, 0.4]}
    return {"raw_classifications": raw, "processed_classification": {"class": name, "score": score, "source": "e"}}


OLD = [
    {
        "filepath": "C:\\survey\\a.jpg",
        "classifications": {"classes": [FOX, BLANK], "scores": [0.6, 0.4]},
        "detections": [box(0.9), box(0.3)],
        "prediction": FOX,
        "prediction_score": 0.95,
        "prediction_source": "classifier",
        "model_version": "4.0.1a",
    },
    {"filepath": "b.jpg", "detections": [], "prediction": BLANK, "prediction_score": 0.8, "model_version": "4.0.1a"},
    {"filepath": "c.jpg", "classifications": {"classes": [FOX], "scores": [0.6]}},
    {"filepath": "d.jpg", "detections": [box(0.7, "2", "human")]},
    {"filepath": "e.jpg", "failures": ["CLASSIFIER", "DETECTOR"]},
    {"filepath": "f.jpg", "detections": [box(0.05)], "prediction": NOTHING, "prediction_score": 1.0},
]
NEW = [
    {"filepath": "a.jpg", "detections": [box(0.9, **processed(FOX, 0.95)), box(0.1)], "model_version": "4.0.2a"},
    {"filepath": "b.jpg", "detections": [box(1.0, "0", "whole_image_classification", **processed(BLANK, 0.7))]},
    {
        "filepath": "c.jpg",
        "detections": [box(0.9, raw_classifications={"classes": [FOX], "scores": [0.6]})],
        "latitude": 1.5,
    },
    {"filepath": "d.jpg", "detections": [box(0.7, "2", "human", **processed(HUMAN, 0.7))]},
    {"filepath": "e.jpg", "failures": ["DETECTOR"]},
    {"filepath": "f.jpg", "detections": []},
]


@pytest.mark.parametrize(
    ("predictions", "info", "expected", "first"),
    [
        (
            OLD,
            None,
            {"C:\\survey\\a.jpg": "red fox", "b.jpg": "blank", "c.jpg": "red fox", "d.jpg": "person", "f.jpg": "blank"},
            ["animal", 0.9, "red fox", 0.95, "SpeciesNet 4.0.1a"],
        ),
        (
            NEW,
            {"format_version": "20261015"},
            {"a.jpg": "red fox", "b.jpg": "blank", "c.jpg": "red fox", "d.jpg": "human", "f.jpg": "blank"},
            ["animal", 0.9, "red fox", 0.95, "SpeciesNet 4.0.2a"],
        ),
    ],
)
def test_both_layouts_are_read(tmp_path, make_settings, predictions, info, expected, first):
    path = write(tmp_path, predictions, info)
    found = read(path, make_settings())
    assert matches(path)
    assert found.labels is not None and found.detections is not None
    assert dict(zip(found.labels["path"], found.labels["label"], strict=True)) == expected
    assert found.labels["is_machine"].all()
    assert found.left_out == {"images that the file lists as failed": 1}
    rows = pd.concat(found.detections())
    assert rows.iloc[0][["category", "score", "label", "label_score", "detector"]].tolist() == first
    assert rows.iloc[1][["number", "score"]].tolist()[0] == 1
    assert rows[rows["path"] == "d.jpg"]["category"].tolist() == ["person"]
    assert rows[rows["path"] == "b.jpg"]["number"].tolist() == [-1]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        (FOX, "red fox"),
        (BLANK, "blank"),
        ("id;mammalia;carnivora;canidae;vulpes;vulpes;", "vulpes vulpes"),
        ("id;mammalia;carnivora;canidae;vulpes;;", "vulpes"),
        ("id;mammalia;carnivora;;;;", "carnivora"),
        (NOTHING, None),
        ("fox", "fox"),
    ],
)
def test_a_class_is_called_by_its_common_name_else_its_lowest_rank(name, label):
    assert to_label(name) == label


@pytest.mark.parametrize(
    ("predictions", "info", "reason"),
    [
        ([], {"format_version": "20290101"}, "has the format version '20290101'. irbis reads 20261015 and the layout"),
        ([{"detections": []}], None, "prediction 0 has no filepath"),
        ([{"filepath": "a.jpg", "detections": [box(0.5) | {"bbox": [5, 5, 9, 9]}]}], None, "in fractions of the image"),
        ([{"filepath": "a.jpg", "detections": [{"conf": 0.5}]}], None, "not as SpeciesNet writes it (KeyError: 'cat"),
        ([{"filepath": "a.jpg", "detections": []}] * 3, None, "2 images are there twice, first a.jpg."),
    ],
)
def test_a_wrong_file_is_refused_whole(tmp_path, make_settings, predictions, info, reason):
    with pytest.raises(DataError) as caught:
        read(write(tmp_path, predictions, info), make_settings())
    assert reason in str(caught.value)

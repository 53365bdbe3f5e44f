"""MegaDetector results and COCO Camera Traps, as they are written."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipelines.exchange.formats import coco, megadetector
from pipelines.exchange.formats.base import Exported
from pipelines.exchange.megadetector_image import MIN_CONFIDENCE, Ids, format_image, number_classes
from pipelines.exchange.observation_types import find_meaning

from .export_rows import by_model, by_person, by_source, export_row, make_export

PROBABILITIES = {"fox": 0.7, "animal": 0.2, "blank": 0.0999, "person": 0.0001}
AWKWARD = 'S1/"ä", b\\c\u2028 .JPG'
FAILED = {"failure": "truncated", "burst_id": None, "captured_at": None, "station": None}


def rows() -> list[dict[str, Any]]:
    size = {"width": 400, "height": 300}
    model = {"probabilities": PROBABILITIES}
    return [
        export_row("S1/a.jpg", burst_id="B1", **size, **by_model("fox", 0.7, **model)),
        export_row("S1/b.jpg", burst_id="B1", captured_at="2024-05-01 11:00:01", **by_person("blank"), **size),
        export_row(AWKWARD, **by_source("person"), **model),
        export_row("S1/c.png", **by_person(None), **size),
        export_row("S1/d.jpg", **by_model("blank", 0.98, probabilities={"blank": 0.98, "fox": 0.02})),
        export_row("S1/e.jpg", **FAILED),
        export_row("S1/f.jpg"),
    ]


def written(exported: Exported) -> dict[str, Any]:
    (path,) = exported.files
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name]
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def test_every_image_with_a_label_has_a_box_that_timelapse_keeps(spark, make_settings, tmp_path):
    export = make_export(spark, tmp_path / "out", make_settings(), rows())
    exported = megadetector.FORMAT.export(export)  # type: ignore[misc]
    found = written(exported)
    info = found["info"]
    assert (info["format_version"], info["detector"], info["classifier"]) == ("1.6", "irbis irbis v7", "irbis irbis v7")
    assert found["detection_categories"] == {"1": "animal", "2": "person", "3": "vehicle"}
    assert found["classification_categories"] == {
        "1": "blank",
        "2": "fox",
        "3": "unknown",
        "4": "animal",
        "5": "person",
    }
    assert [image.get("detections") and image["detections"][0]["conf"] for image in found["images"]] == [
        0.9001,
        MIN_CONFIDENCE,
        1.0,
        1.0,
        MIN_CONFIDENCE,
        None,
    ]
    assert found["images"][0] == {
        "file": "S1/a.jpg",
        "detections": [
            {
                "category": "1",
                "conf": 0.9001,
                "bbox": [0.0, 0.0, 1.0, 1.0],
                "classifications": [["2", 0.7], ["4", 0.2], ["1", 0.0999]],
            }
        ],
        "label": "fox",
        "label_source": "model",
    }
    assert found["images"][2]["file"] == AWKWARD and found["images"][2]["label_source"] == "source"
    assert found["images"][2]["detections"][0]["category"] == "2"
    assert found["images"][3]["detections"][0]["classifications"] == [["3", 1.0]]
    assert found["images"][5] == {"file": "S1/e.jpg", "detections": None, "failure": "truncated"}
    assert exported.written == Counter({"images": 5, "failed images": 1})
    assert exported.left_out == Counter({"images without a label, prediction or box": 1})
    assert exported.notes == ["Timelapse shows nothing of 1 image not named .jpg or .jpeg."]

    lowest = max(0.03, info["detector_metadata"]["conservative_detection_threshold"] / 2.5)
    lowest_class = max(0.03, info["classifier_metadata"]["typical_classification_threshold"] / 2.5)
    for image in found["images"][:5]:
        detection = image["detections"][0]
        assert round(detection["conf"], 3) > lowest
        assert round(detection["classifications"][0][1], 3) > lowest_class
        assert all(isinstance(value, float) for value in (detection["conf"], *detection["bbox"]))

    again = megadetector.read(exported.files[0], make_settings())
    assert again.labels is not None
    assert again.labels[["path", "label", "is_machine"]].fillna("?").to_numpy().tolist() == [
        ["S1/a.jpg", "fox", True],
        ["S1/b.jpg", "blank", False],
        [AWKWARD, "person", False],
        ["S1/c.png", "?", False],
        ["S1/d.jpg", "blank", True],
    ]


def test_coco_has_an_annotation_for_each_label_and_a_score_for_each_prediction(spark, make_settings, tmp_path):
    settings = make_settings({"export.contributor": "Ana"})
    exported = coco.FORMAT.export(make_export(spark, tmp_path / "out", settings, rows()))  # type: ignore[misc]
    found = written(exported)
    assert found["info"] == {
        "version": "1.0",
        "description": "Survey, labels and predictions of irbis irbis v7",
        "year": 2026,
        "contributor": "Ana",
        "date_created": "2026-11-30 12:00:05",
    }
    names = {each["id"]: each["name"] for each in found["categories"]}
    assert names == {0: "blank", 1: "animal", 2: "fox", 3: "person", 4: "unknown"}
    images = {image["id"]: image for image in found["images"]}
    assert images["S1/b.jpg"] == {
        "id": "S1/b.jpg",
        "file_name": "S1/b.jpg",
        "width": 400,
        "height": 300,
        "datetime": "2024-05-01 11:00:01",
        "seq_id": "B1",
        "seq_num_frames": 2,
        "frame_num": 1,
        "location": "S1",
    }
    assert images["S1/e.jpg"] == {
        "id": "S1/e.jpg",
        "file_name": "S1/e.jpg",
        "location": "unknown",
        "corrupt": True,
    }
    assert list(images) == sorted(images)
    assert {(each["image_id"], names[each["category_id"]], each.get("score")) for each in found["annotations"]} == {
        ("S1/a.jpg", "fox", 0.7),
        ("S1/b.jpg", "blank", None),
        (AWKWARD, "person", None),
        ("S1/c.png", "unknown", None),
        ("S1/d.jpg", "blank", 0.98),
    }
    assert exported.written == Counter({"annotations": 5, "images": 7}) and exported.left_out == Counter()
    assert exported.notes == ["2 images without an annotation: no label and no prediction."]

    again = coco.read(exported.files[0], settings)
    assert again.labels is not None
    labels = again.labels.set_index("path")
    assert labels["label"].fillna("?").to_dict() == {
        "S1/a.jpg": "fox",
        "S1/b.jpg": "blank",
        AWKWARD: "person",
        "S1/c.png": "?",
        "S1/d.jpg": "blank",
    }
    assert labels.loc["S1/b.jpg", ["station", "captured_at"]].tolist() == [
        "S1",
        pd.Timestamp("2024-05-01 11:00:01", tz="UTC"),
    ]


def test_people_are_left_out_and_the_users_map_decides_who_they_are(spark, make_settings, tmp_path):
    settings = make_settings(
        {"export.leave_out_people": True, "export.labels": {"fox": {"type": "human"}, "person": {"type": "animal"}}}
    )
    for each in (megadetector, coco):
        exported = each.FORMAT.export(make_export(spark, tmp_path / each.__name__, settings, rows()))  # type: ignore[misc]
        names = [image["file" if each is megadetector else "file_name"] for image in written(exported)["images"]]
        assert "S1/a.jpg" not in names and AWKWARD in names
        assert exported.left_out["images of people"] == 1
        assert "S1/a.jpg" not in exported.files[0].read_text("utf-8")


def test_an_export_without_labels_is_a_valid_file(spark, make_settings, tmp_path):
    for each in (megadetector, coco):
        rows = [export_row("a.jpg")]
        found = written(each.FORMAT.export(make_export(spark, tmp_path / each.__name__, make_settings(), rows)))  # type: ignore[misc]
        assert "classification_categories" not in found
        assert found["images"] == [] if each is megadetector else found["annotations"] == []


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Animal", "fox", "vehicle"), {"fox": "1", "Animal": "2", "vehicle": "3"}),
        (("animal", "blank"), {"blank": "1", "animal": "2"}),
        (("animal", "person"), {}),
        ((), {}),
    ],
)
def test_classes_named_like_a_category_come_last_or_are_left_to_the_categories(names, expected):
    assert number_classes(names, ["animal", "person", "vehicle"]) == expected


@pytest.mark.parametrize(
    ("prediction", "score", "probabilities", "confidence", "ranked"),
    [
        # the burst is a fox, although this image alone is rather blank
        ("fox", 0.6, {"blank": 0.9, "fox": 0.1}, 0.6, [("fox", 0.6), ("blank", 0.6)]),
        ("blank", 0.7, {"blank": 0.2, "fox": 0.8}, 0.3, [("blank", 0.7), ("fox", 0.7)]),
        ("fox", 0.02, {"blank": 0.3, "fox": 0.02, "hare": 0.0005}, 0.7, [("fox", 0.031), ("blank", 0.02)]),
        ("fox", 0.9, None, 1.0, [("fox", 0.9)]),
    ],
)
def test_the_prediction_comes_first_and_the_confidence_is_that_of_not_being_blank(
    prediction, score, probabilities, confidence, ranked
):
    names = ("blank", "fox", "hare")
    row = {"relative_path": "a.jpg", "label": None, "is_unknown": False, "failure": None, "label_source": None}
    row |= {"prediction": prediction, "score": score, "probabilities": probabilities, "boxes": None}
    image = format_image(
        row, Ids({name: name for name in names}, {}, {name: find_meaning(name, {})[0] for name in names})
    )
    assert image["detections"][0]["conf"] == pytest.approx(confidence)
    assert [tuple(pair) for pair in image["detections"][0]["classifications"]] == ranked


def test_a_draft_of_a_failed_export_is_removed(spark, make_settings, tmp_path: Path):
    broken = export_row("a.jpg", **by_model("fox", float("nan")))
    export = make_export(spark, tmp_path / "out", make_settings(), [broken])
    for each in (megadetector, coco):
        with pytest.raises(Exception, match="Out of range float values are not JSON compliant"):
            each.FORMAT.export(export)  # type: ignore[misc]
    assert list((tmp_path / "out").iterdir()) == []

"""Results of MegaDetector, versions 1.0 to 1.6: labels, boxes, and broken files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipelines.errors import DataError
from pipelines.exchange.formats.base import Imported
from pipelines.exchange.formats.megadetector import matches, read

CATEGORIES = {"1": "animal", "2": "person", "3": "vehicle"}
FULL = [0.0, 0.0, 1.0, 1.0]


def write(folder: Path, images: Any, **members: Any) -> Path:
    """Write the members in an order of older files: images first."""
    path = folder / "md.json"
    info = {"format_version": "1.6", "detector": "md_v5a.0.0.pt"}
    path.write_text(json.dumps({"images": images, "info": info, "detection_categories": CATEGORIES} | members))
    return path


def box(conf: float, category: str = "1", bbox: Any = (0.1, 0.2, 0.3, 0.4), **values: Any) -> dict[str, Any]:
    return {"category": category, "conf": conf, "bbox": bbox if bbox is None else list(bbox), **values}


def image(file: str, *detections: Any, **values: Any) -> dict[str, Any]:
    return {"file": file, "detections": list(detections), **values}


def labels(found: Imported) -> dict[str, str | None]:
    assert found.labels is not None
    rows = found.labels
    return dict(zip(rows["path"], rows["label"].where(~rows["is_unknown"], "?"), strict=True))


def boxes(found: Imported) -> list[list[Any]]:
    assert found.detections is not None
    rows = pd.concat(found.detections()).astype(object)
    return rows.where(rows.notna(), None).to_numpy().tolist()


def refused(path: Path, settings: Any) -> list[str]:
    with pytest.raises(DataError) as caught:
        read(path, settings)
    return [fault.removeprefix(str(path)).lstrip(": ") for fault in caught.value.faults]


def test_an_image_has_the_class_of_its_best_box_else_its_category_else_blank(tmp_path, make_settings):
    path = write(
        tmp_path,
        [
            image(
                "S1/a.jpg", box(0.3, classifications=[["2", 0.9]]), box(0.9, classifications=[["1", 0.7], ["2", 0.2]])
            ),
            image("S1\\b.jpg", box(0.5, "2")),
            image("c.jpg", box(0.19)),
            image("d.jpg"),
            image("e.jpg", box(0.05, classifications=[["3", 0.99]])),
            {"file": "f.jpg", "detections": None, "failure": "Failure image access"},
            {"file": "g.jpg", "failure": "Failure image access"},
            image("v.mp4", box(0.9, frame_number=3), frame_rate=20, frames_processed=[3]),
            image("h.jpg", box(0.9, "5")),
        ],
        classification_categories={"1": "puma", "2": "fox", "3": "empty"},
    )
    found = read(path, make_settings())
    assert matches(path)
    assert labels(found) == {
        "S1/a.jpg": "puma",
        "S1\\b.jpg": "person",
        "c.jpg": "blank",
        "d.jpg": "blank",
        "e.jpg": "empty",
        "h.jpg": "blank",
    }
    assert found.labels is not None and found.labels["is_machine"].all()
    assert found.left_out == {"images that the file lists as failed": 2, "videos": 1}
    assert found.boxes_left_out == {"of a category that the file does not name": 1}
    rows = boxes(found)
    edges = [0.1, 0.2, pytest.approx(0.3), pytest.approx(0.4)]
    assert rows[1] == ["S1/a.jpg", 1, "animal", 0.9, *edges, "puma", 0.7, "md_v5a.0.0.pt"]
    assert [row[:3] for row in rows] == [
        ["S1/a.jpg", 0, "animal"],
        ["S1/a.jpg", 1, "animal"],
        ["S1\\b.jpg", 0, "person"],
        ["c.jpg", 0, "animal"],
        ["d.jpg", -1, None],
        ["e.jpg", 0, "animal"],
        ["h.jpg", -1, None],
    ]


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6", 1.4, None])
def test_all_versions_to_1_6_are_read(tmp_path, make_settings, version):
    info = {"detector": "MDV5A"} | ({"format_version": version} if version else {})
    path = write(tmp_path, [image("a.jpg", box(0.5), max_detection_conf=0.5)], info=info)
    assert labels(read(path, make_settings())) == {"a.jpg": "animal"}


@pytest.mark.parametrize(
    ("info", "label"),
    [
        ({"format_version": "1.6", "detector": "md_v5a.0.0.pt"}, "animal"),
        ({"format_version": "1.2", "detector": "md_v4.1.0.pb"}, "blank"),
        ({"format_version": "1.0"}, "blank"),
        ({"detector": "x_v4.pb", "detector_metadata": {"typical_detection_threshold": 0.3}}, "animal"),
        ({"detector": "x", "detector_metadata": {"typical_detection_threshold": 0.6}}, "blank"),
        ({"detector": "x", "detector_metadata": "none"}, "animal"),
        ({"detector": "x", "detector_metadata": {"typical_detection_threshold": 20}}, "animal"),  # in percent
        ({"detector": "x", "detector_metadata": {"typical_detection_threshold": True}}, "animal"),
    ],
)
def test_the_threshold_is_that_of_the_file_else_typical_of_the_detector(tmp_path, make_settings, info, label):
    path = write(tmp_path, [image("a.jpg", box(0.5))], info=info)
    assert labels(read(path, make_settings())) == {"a.jpg": label}


def test_a_label_of_a_person_that_irbis_has_written_is_one(tmp_path, make_settings):
    def by(source: str | None, number: str) -> dict[str, Any]:
        return image(f"{number}.jpg", box(1.0, bbox=FULL, classifications=[[number, 1.0]]), label_source=source)

    images = [by("person", "1"), by("source", "2"), by(None, "1") | {"file": "m.jpg"}]
    found = read(write(tmp_path, images, classification_categories={"1": "Puma", "2": "unknown"}), make_settings())
    assert labels(found) == {"1.jpg": "Puma", "2.jpg": "?", "m.jpg": "Puma"}
    assert found.labels is not None and found.labels["is_machine"].tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("bbox", "expected"),
    [
        ((-0.01, 0.5, 0.2, 0.51), [0.0, 0.5, 0.19, 0.5]),
        ((0, 0, 1, 1), [0.0, 0.0, 1.0, 1.0]),
        ((1.2, 0.1, 0.2, 0.2), None),
        ((0.5, 0.5, 0.0, 0.2), None),
        ((0.9, 0.9, -0.2, 0.2), None),
    ],
)
def test_a_box_is_clipped_to_its_image_and_left_out_outside_of_it(tmp_path, make_settings, bbox, expected):
    found = read(write(tmp_path, [image("a.jpg", box(0.5, bbox=bbox))]), make_settings())
    rows = [[pytest.approx(value) for value in row[4:8]] for row in boxes(found) if row[1] >= 0]
    assert rows == ([expected] if expected else [])
    assert found.boxes_left_out == ({} if expected else {"outside their image": 1})
    assert found.left_out == {}


def test_a_box_of_the_category_empty_is_none(tmp_path, make_settings):
    categories = {"1": "animal", "2": "Empty"}
    path = write(tmp_path, [image("a.jpg", box(0.9, "2", FULL))], detection_categories=categories)
    found = read(path, make_settings())
    assert labels(found) == {"a.jpg": "blank"}
    assert [row[:3] for row in boxes(found)] == [["a.jpg", -1, None]]


BROKEN: list[tuple[Any, dict[str, Any], str]] = [
    ([], {"info": {"format_version": "2.0"}}, "has the format version '2.0'. irbis reads 1.0 to 1.6: write the file"),
    ([], {"info": {"format_version": "1.7"}}, "has the format version '1.7'"),
    ([], {"detection_categories": ["animal"]}, "detection_categories should be an object"),
    ([{"detections": []}], {}, "image 0 has no file"),
    ([image("a.jpg"), image("a.jpg", box(0.3))], {}, "1 images are there twice, first a.jpg. Keep one entry"),
    ([image("S1/a.jpg"), image("S1\\a.jpg", box(0.3))], {}, "1 images are there twice, first S1\\a.jpg."),
    ([image("./a.jpg "), image("a.jpg", box(0.3))], {}, "1 images are there twice, first a.jpg."),
    ([image("\ud800.jpg")], {}, "is not valid JSON (it has half a surrogate pair)"),
    ([image("a.jpg", box(1e999))], {}, "is not valid JSON (Infinity is no number of JSON)"),
    ([image("a.jpg", box(0.3, bbox=[10, 20, 300, 400]))], {}, "in fractions of the image, not in pixels such as [10"),
    ([image("a.jpg", box(0.3, bbox=[0.1, 0.2]))], {}, "1 boxes are wrong, first of a.jpg: a box should be four num"),
    ([image("a.jpg", box(0.3, bbox=None))] * 1, {}, "a box should be four numbers"),
    ([image("a.jpg", box(12))], {}, "a confidence should be a number in [0, 1], not 12"),
    ([image("a.jpg", box("0.3"))], {}, "a confidence should be a number in [0, 1], not 0.3"),  # type: ignore[arg-type]
    ([image("a.jpg", 3)], {}, "detections should be a list of objects"),
    ([image("a.jpg", box(0.3, classifications=["1", 0.3]))], {}, "classifications should be a list of pairs"),
]


@pytest.mark.parametrize(("images", "members", "reason"), BROKEN)
def test_a_wrong_file_is_refused_whole(tmp_path, make_settings, images, members, reason):
    assert reason in refused(write(tmp_path, images, **members), make_settings())[0]


def test_all_kinds_of_faults_are_named_at_once(tmp_path, make_settings):
    wrong = [image(f"{number}.jpg", box(0.3, bbox=[1, 2, 3, 4])) for number in range(50)]
    faults = refused(write(tmp_path, [*wrong, image("z.jpg"), image("z.jpg")]), make_settings())
    assert [fault[:20] for fault in faults] == ["50 boxes are wrong, ", "1 images are there t"]


def test_a_truncated_file_is_refused(tmp_path, make_settings):
    path = write(tmp_path, [image("a.jpg", box(0.5)), image("b.jpg", box(0.5))])
    path.write_text(path.read_text()[:150])
    assert matches(path)
    assert refused(path, make_settings()) == [
        "ends in the middle: it was not written or copied completely. Copy or export it again."
    ]


def test_a_file_without_a_single_answer_has_no_labels(tmp_path, make_settings):
    found = read(write(tmp_path, [{"file": "a.jpg", "failure": "Failure image access"}]), make_settings())
    assert labels(found) == {} and found.left_out == {"images that the file lists as failed": 1}


def test_boxes_come_in_chunks(tmp_path, make_settings, monkeypatch):
    monkeypatch.setattr("pipelines.exchange.boxes.CHUNK_ROWS", 2)
    found = read(write(tmp_path, [image("a.jpg", box(0.5), box(0.4), box(0.3))]), make_settings())
    assert found.detections is not None and [len(chunk) for chunk in found.detections()] == [2, 1]

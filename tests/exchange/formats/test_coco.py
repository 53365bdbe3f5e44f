"""COCO Camera Traps: labels, stations, times and boxes of an import, and broken files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipelines.errors import DataError
from pipelines.exchange.formats.coco import matches, read

CATEGORIES = [{"id": 0, "name": "empty"}, {"id": 1, "name": "fox"}, {"id": 2, "name": "person"}]


def write(folder: Path, images: list[Any], annotations: list[Any], categories: Any = CATEGORIES) -> Path:
    path = folder / "cct.json"
    members = {"info": {"version": "1.0", "description": "x"}, "annotations": annotations, "images": images}
    path.write_text(json.dumps(members | {"categories": categories}))
    return path


def image(name: str, **values: Any) -> dict[str, Any]:
    return {"id": name, "file_name": f"{name}.jpg", **values}


def label(image_id: str, category_id: int, **values: Any) -> dict[str, Any]:
    return {"id": f"{image_id}-{category_id}", "image_id": image_id, "category_id": category_id, **values}


def test_labels_have_station_and_time_and_boxes_fractions_of_the_image(tmp_path, make_settings):
    sized = {"width": 200, "height": 100}
    path = write(
        tmp_path,
        [
            image("a", location="S1", datetime="2024-05-01 11:00:00", **sized),
            image("b", location="S2", datetime="0000-00-00 00:00:00"),
            image("c", location="Unknown", **sized),
            image("d", datetime="yesterday"),
            image("e"),
        ],
        [
            label("a", 1, bbox=[20, 10, 40, 30]),
            label("a", 1, bbox=[190, 90, 20, 20]),
            label("b", 2, bbox=[1, 2, 3, 4]),
            label("c", 1, score=0.75, bbox_relative=[0.1, 0.2, 0.3, 0.4]),
            label("d", 0),
            label("d", 1),
        ],
    )
    found = read(path, make_settings())
    assert matches(path)
    assert found.labels is not None and found.detections is not None
    rows = found.labels.astype(object).where(found.labels.notna(), None)
    assert rows[["path", "label", "station", "is_machine"]].to_numpy().tolist() == [
        ["a.jpg", "fox", "S1", False],
        ["b.jpg", "person", "S2", False],
        ["c.jpg", "fox", None, True],
    ]
    assert [str(time) for time in found.labels["captured_at"][:2]] == ["2024-05-01 11:00:00+00:00", "NaT"]
    assert found.left_out == {"images with annotations of several categories": 1}
    assert found.boxes_left_out == {"in pixels of images whose size is not in the file": 1}
    assert found.notes == ["1 time unreadable or implausible, first 'yesterday': treated as unknown."]
    boxes = pd.concat(found.detections())
    columns = ["path", "number", "category", "label", "x", "y", "width", "height"]
    assert boxes[columns].to_numpy().tolist() == [
        ["a.jpg", 0, "animal", "fox", 0.1, 0.1, pytest.approx(0.2), pytest.approx(0.3)],
        ["a.jpg", 1, "animal", "fox", 0.95, 0.9, pytest.approx(0.05), pytest.approx(0.1)],
        ["c.jpg", 0, "animal", "fox", 0.1, 0.2, pytest.approx(0.3), pytest.approx(0.4)],
    ]
    assert boxes["score"].fillna(-1).tolist() == [-1, -1, 0.75]


def test_a_file_without_boxes_has_no_detections_and_unknown_is_a_decision(tmp_path, make_settings):
    path = write(tmp_path, [image("a")], [label("a", 5)], [*CATEGORIES, {"id": 5, "name": "Unknown"}])
    found = read(path, make_settings())
    assert found.detections is None and found.labels is not None
    assert found.labels[["label", "is_unknown"]].to_numpy().tolist() == [[None, True]]


def test_ids_may_be_whole_numbers_in_one_place_and_decimal_in_another(tmp_path, make_settings):
    images = [image("a", id=7), image("b", id=8.0)]
    path = write(tmp_path, images, [label("x", 1.0) | {"image_id": 7.0}, label("y", 2) | {"image_id": 8}])  # type: ignore[arg-type]
    found = read(path, make_settings())
    assert found.labels is not None
    assert found.labels[["path", "label"]].to_numpy().tolist() == [["a.jpg", "fox"], ["b.jpg", "person"]]


@pytest.mark.parametrize(
    ("images", "annotations", "reason"),
    [
        ([image("a"), image("b", file_name="a.jpg")], [], "1 images are there twice, first a.jpg."),
        (
            [image("a", file_name="S1/a.jpg"), image("b", file_name="S1\\a.jpg")],
            [],
            "1 images are there twice, first S1",
        ),
        ([image("a", width=9, height=9)], [label("a", 1, bbox=[0, 0, 100, 100])], "1 boxes are wrong, first of a.jpg"),
        ([image("a", width=9, height=9)], [label("a", 1, bbox=[0, 0])], "a box should be four numbers"),
        ([image("a", width=9, height=9)], [label("a", 1, bbox="x" * 9)], "a box should be four numbers"),
        ([image("a")], [label("a", 1, bbox_relative=[5, 5, 1, 1])], "in fractions of the image, not in pixels"),
        ([image("a")], [label("z", 1)], "1 annotations are of an image that is not in the file"),
    ],
)
def test_a_wrong_file_is_refused_whole(tmp_path, make_settings, images, annotations, reason):
    with pytest.raises(DataError) as caught:
        read(write(tmp_path, images, annotations), make_settings())
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "format_name"),
    [
        ('{"images": [{"file": "a.jpg", "detections": []}], "info"', "megadetector"),
        ('{"info": {}, "detection_categories": {"1": "animal"}, "images": []}', "megadetector"),
        ('{"predictions": [{"filepath": "a.jpg"}', "speciesnet"),
        ('{"annotations": [{"image_id": "a", "category_id": 1}', "coco"),
        ('{"images": [{"id": "a", "file_name": "a.jpg"}', "coco"),
        ('{"info": {}, "categories": [{"id": 0, "name": "empty"}]', "coco"),
        ('{"resources": [{"name": "deployments"}]}', None),
        ('[{"data": {"image": "a.jpg"}}]', None),
        ("path,label\na.jpg,fox\n", None),
        ("", None),
    ],
)
def test_each_file_is_recognized_by_its_beginning_as_at_most_one_format(tmp_path, text, format_name):
    from pipelines.exchange.formats import megadetector, speciesnet

    path = tmp_path / "x.json"
    path.write_text(text)
    modules = (megadetector.FORMAT, speciesnet.FORMAT)
    found = [each.name for each in modules if each.matches and each.matches(path)]
    assert found + (["coco"] if matches(path) else []) == ([format_name] if format_name else [])

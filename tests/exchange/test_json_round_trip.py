"""JSON exports, imported into a workspace without labels, and the boxes of a detector."""

from __future__ import annotations

import json

import pytest

from pipelines.exchange.export import export
from pipelines.exchange.imports import import_file
from pipelines.schemas import IMAGES
from pipelines.workspace.labels import effective_images
from pipelines.workspace.tables import Tables

from .made import ROOT, add_rows, decide, image, make_survey

PATHS = ["S1/a.jpg", "S1/b, é.jpg", "S1/c.jpg", "S2/=d.jpg", "S2/e.jpg"]


def labels_of(tables):
    rows = effective_images(tables).where("label is not null").collect()
    return {row["path"].removeprefix(ROOT): row["label"] for row in rows}


@pytest.mark.parametrize("name", ["megadetector", "coco"])
def test_an_export_gives_an_empty_workspace_the_labels_that_people_have_given(spark, make_settings, tmp_path, name):
    make_survey(Tables.of(spark, make_settings()))
    file = export(spark, make_settings(), name, tmp_path / "out").exported.files[0]

    empty = make_settings({"workspace": str(tmp_path / "empty")})
    tables = Tables.of(spark, empty)
    add_rows(tables, "images", IMAGES, [image(path) for path in PATHS])
    result = import_file(spark, empty, str(file))
    assert labels_of(tables) == {"S1/a.jpg": "fox", "S1/c.jpg": "lynx"}
    assert result.notes[0] == "2 labels of a model ignored. Import them for images without a label: --machine."
    assert import_file(spark, empty, str(file)).decisions == 0
    import_file(spark, empty, str(file), with_machine=True)
    assert labels_of(tables) == {"S1/a.jpg": "fox", "S1/b, é.jpg": "fox", "S1/c.jpg": "lynx", "S2/=d.jpg": "blank"}


def test_boxes_are_stored_once_with_the_content_that_they_belong_to(spark, make_settings, tmp_path):
    settings = make_settings()
    tables = Tables.of(spark, settings)
    make_survey(tables)
    box = {"category": "1", "conf": 0.9, "bbox": [0.1, 0.2, 0.3, 0.4]}
    images = [
        {"file": "C:\\2024\\S1\\a.jpg", "detections": [box, box | {"conf": 0.4}]},
        {"file": "C:\\2024\\S1\\c.jpg", "detections": []},
        {"file": "C:\\2024\\S9\\x.jpg", "detections": [box]},
    ]
    file = tmp_path / "md.json"
    header = {"info": {"format_version": "1.3"}, "detection_categories": {"1": "animal"}}
    file.write_text(json.dumps(header | {"images": images}))
    first = import_file(spark, settings, str(file))
    assert (first.boxes, first.boxes_unmatched, first.decisions) == (3, 1, 0)
    rows = tables.read("detections").orderBy("path", "number").collect()
    assert [(row["path"].removeprefix(ROOT), row["number"], row["score"], row["category"]) for row in rows] == [
        ("S1/a.jpg", 0, 0.9, "animal"),
        ("S1/a.jpg", 1, 0.4, "animal"),
        ("S1/c.jpg", -1, None, None),
    ]
    assert (rows[0]["source"], rows[0]["file"], rows[0]["detector"]) == ("megadetector", "md.json", None)
    assert import_file(spark, settings, str(file)).boxes == 0
    assert tables.read("detections").count() == 3


def detector_file(path, detector, **boxes):
    """Write results with these boxes (category, confidence, box) by image."""
    images = [
        {"file": f"S1/{name}.jpg", "detections": [{"category": c, "conf": conf, "bbox": box} for c, conf, box in found]}
        for name, found in boxes.items()
    ]
    header = {"info": {"format_version": "1.6", "detector": detector}, "detection_categories": {"1": "animal"}}
    header["detection_categories"] |= {"2": "person", "3": "Elk"}
    path.write_text(json.dumps(header | {"images": images}))
    return str(path)


def test_the_boxes_of_the_newest_import_are_exported_with_the_labels_of_irbis(spark, make_settings, tmp_path):
    settings = make_settings()
    tables = Tables.of(spark, settings)
    make_survey(tables)
    decide(tables, "S2/=d.jpg", "blank")
    left, right = [0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.25, 0.25]
    first = detector_file(tmp_path / "1.json", "old", a=[("1", 0.5, left)], c=[("1", 0.9, left)])
    import_file(spark, settings, first)
    second = detector_file(
        tmp_path / "2.json",
        "md_v5a",
        a=[("1", 0.95, right), ("2", 0.99, left), ("3", 0.01, left)],
        c=[],
        **{"b, é": [("1", 0.9, [0.0, 0.0, 1.0, 1.0])]},
    )
    import_file(spark, settings, second)
    exported = export(spark, settings, "megadetector", tmp_path / "out")
    found = json.loads(exported.exported.files[0].read_text("utf-8"))
    assert found["info"]["detector"] == "md_v5a, irbis irbis v1"
    assert found["detection_categories"] == {"1": "animal", "2": "person", "3": "vehicle", "4": "Elk"}
    classes = found["classification_categories"]
    shown = {
        image["file"]: [
            (each["category"], each["conf"], each["bbox"], [classes[n] for n, _ in each.get("classifications", [])][:1])
            for each in image["detections"] or []
        ]
        for image in found["images"]
    }
    whole = [0.0, 0.0, 1.0, 1.0]
    assert shown == {
        "S1/a.jpg": [("1", 0.95, right, ["fox"]), ("2", 0.99, left, []), ("4", 0.031, left, ["fox"])],
        "S1/b, é.jpg": [("1", 0.9, whole, ["fox"])],  # of irbis: 0.9 is the score of the burst
        "S1/c.jpg": [("1", 1.0, whole, ["lynx"])],
        "S2/=d.jpg": [("1", 0.031, whole, ["blank"])],
        "S2/e.jpg": [],
        "S2/f.jpg": [],
    }
    assert list(shown) == sorted(shown)
    assert "1 image with the boxes of md_v5a; the others have one around the whole image." in exported.notes

    empty = make_settings({"workspace": str(tmp_path / "empty")})
    other = Tables.of(spark, empty)
    add_rows(other, "images", IMAGES, [image(path) for path in PATHS])
    result = import_file(spark, empty, str(exported.exported.files[0]))
    assert labels_of(other) == {"S1/a.jpg": "fox", "S1/c.jpg": "lynx", "S2/=d.jpg": "blank"}
    assert (result.boxes, result.notes[0][:27]) == (6, "1 label of a model ignored.")
    again = json.loads(export(spark, empty, "megadetector", tmp_path / "2").exported.files[0].read_text("utf-8"))
    boxes = {image["file"]: [each["bbox"] for each in image["detections"] or []] for image in again["images"]}
    assert boxes["S1/a.jpg"] == [right, left, left] and boxes["S1/c.jpg"] == [whole]


def test_images_without_a_label_are_exported_for_their_boxes_and_left_out_for_people(spark, make_settings, tmp_path):
    settings = make_settings()
    tables = Tables.of(spark, settings)
    add_rows(tables, "images", IMAGES, [image(f"S1/{name}.jpg") for name in "abcd"])
    box = [0.1, 0.2, 0.3, 0.4]
    people = {"a": [("2", 0.3, box)], "b": [("2", 0.1, box), ("1", 0.9, box)], "c": [("1", 0.9, box)]}
    import_file(spark, settings, detector_file(tmp_path / "1.json", "md", **people))

    def written(options):
        exported = export(spark, make_settings(options), "megadetector", tmp_path / "out").exported
        images = json.loads(exported.files[0].read_text("utf-8"))["images"]
        return [image["file"] for image in images], exported.left_out

    nothing = {"images without a label, prediction or box": 1}
    assert written({}) == (["a.jpg", "b.jpg", "c.jpg"], nothing)
    left_out = {**nothing, "images of people": 1}
    assert written({"export.leave_out_people": True}) == (["b.jpg", "c.jpg"], left_out)


def test_boxes_that_are_left_out_are_no_labels(spark, make_settings, tmp_path):
    settings = make_settings()
    make_survey(Tables.of(spark, settings))
    outside = [("1", 0.5, [1.5, 0.5, 0.1, 0.1]), ("9", 0.5, [0.1, 0.2, 0.3, 0.4])]
    lines = import_file(spark, settings, detector_file(tmp_path / "1.json", "md", a=outside)).lines()
    assert lines[1] == (
        "import: boxes: 1 new, 0 paths without an image, 2 left out (1 of a category that the file does not name, "
        "1 outside their image)"
    )
    assert lines[2].startswith("import: 0 decisions and 1 box stored, 0 labels left out, ")

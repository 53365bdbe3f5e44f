"""JSON exports, imported into a workspace without labels, and the boxes of a detector."""

from __future__ import annotations

import json

import pytest

from pipelines.exchange.export import export
from pipelines.exchange.imports import import_file
from pipelines.schemas import IMAGES
from pipelines.workspace.labels import effective_images
from pipelines.workspace.tables import Tables

from .made import ROOT, add_rows, image, make_survey

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

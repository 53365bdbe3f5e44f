"""COCO Camera Traps as a labels file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import DataError
from pipelines.sources.label_matching import match_labels
from pipelines.sources.labels import LabelTable, read_label_table

CATEGORIES = [{"id": 0, "name": "empty"}, {"id": 7, "name": " Vulpes  vulpes"}]


def labels_of(
    folder: Path, images: list[Any], annotations: list[Any], categories: list[Any] = CATEGORIES
) -> LabelTable:
    file = folder / "lila.json"
    # LILA's files have the annotations before the images
    file.write_text(json.dumps({"annotations": annotations, "images": images, "categories": categories}))
    return read_label_table(str(file))


def test_images_get_the_category_of_their_annotations_with_station_time_and_sequence(tmp_path):
    table = labels_of(
        tmp_path,
        [
            {
                "id": "a",
                "file_name": "S1\\a.jpg",
                "location": 12,
                "datetime": "2014-07-01 15:22:09",
                "seq_id": "q",
                "width": 100,
            },
            {"id": 2, "file_name": "S1/b.jpg", "location": "unknown", "seq_id": "r"},
            {"id": "c", "file_name": "c.jpg"},
        ],
        [
            {"image_id": "a", "category_id": 7, "bbox": [1, 2, 3, 4]},
            {"image_id": "a", "category_id": 7, "bbox": [5, 6, 7, 8]},
            {"image_id": 2, "category_id": 0},
        ],
    )
    rows = table.rows.astype(object).where(table.rows.notna(), None)
    assert table.program == "COCO Camera Traps"
    assert rows[["path", "label", "station", "sequence"]].to_numpy().tolist() == [
        ["S1/a.jpg", "Vulpes vulpes", "12", "q"],
        ["S1/b.jpg", "empty", None, "r"],
        ["c.jpg", None, None, None],
    ]
    assert str(rows["captured_at"][0]) == "2014-07-01 15:22:09+00:00"
    matched, notes = match_labels(table, ["2024/S1/a.jpg", "2024/S1/b.jpg"])
    assert matched["label"].tolist() == ["Vulpes vulpes", "empty"]
    assert notes[0].startswith("lila.json (COCO Camera Traps): label = annotations.category, path = file_name, ")


def test_several_categories_and_answers_of_a_model_are_no_labels_and_that_is_said(tmp_path):
    images = [{"id": name, "file_name": f"{name}.jpg"} for name in "abc"]
    annotations = [
        {"image_id": "a", "category_id": 0},
        {"image_id": "a", "category_id": 7},
        {"image_id": "b", "category_id": 7, "score": 0.9},
        {"image_id": "c", "category_id": 0, "score": 0.9},
        {"image_id": "c", "category_id": 7, "sequence_level_annotation": True},
    ]
    table = labels_of(tmp_path, images, annotations)
    assert table.rows["label"].where(table.rows["label"].notna(), None).tolist() == [None, None, "Vulpes vulpes"]
    assert [note.partition(": ")[2] for note in table.notes] == [
        "1 image with annotations of several categories treated as unlabelled, first a.jpg.",
        "1 image with annotations that have a score treated as unlabelled: they are predictions of a model.",
        "some annotations are of a sequence as a whole, of which single images may be empty.",
    ]


IMAGE, ANNOTATION = {"id": "a", "file_name": "a.jpg"}, {"image_id": "a", "category_id": 7}
FAULTS = [
    ([IMAGE], [{"image_id": "z", "category_id": 7}] * 2, CATEGORIES, "2 annotations are of an image that is not in"),
    ([IMAGE], [{"image_id": "a", "category_id": 9}], CATEGORIES, "1 annotations are of a category that is not in"),
    ([IMAGE, IMAGE | {"file_name": "b.jpg"}], [], CATEGORIES, "1 images have the id of another one, first b.jpg."),
    ([{"id": "a"}], [], CATEGORIES, "1 images have no id or no file_name, first {'id': 'a'}."),
    ([IMAGE], [], [{"id": 1, "name": "fox"}, {"id": 1, "name": "hare"}], "1 categories have the id of another one"),
    ([IMAGE], [], [{"id": 1, "name": "\u200b"}], "1 categories have no id or no name"),
]


@pytest.mark.parametrize(("images", "annotations", "categories", "reason"), FAULTS)
def test_what_refers_to_nothing_or_is_there_twice_is_refused(tmp_path, images, annotations, categories, reason):
    with pytest.raises(DataError, match=r"^\S+lila.json: ") as caught:
        labels_of(tmp_path, images, annotations, categories)
    assert reason in str(caught.value)


def test_results_of_a_detector_are_no_labels_file(tmp_path):
    (tmp_path / "md.json").write_text('{"info": {}, "detection_categories": {}, "images": [{"file": "a.jpg"}]}')
    with pytest.raises(DataError, match="Results of MegaDetector or SpeciesNet are not labels: `irbis import FILE`"):
        read_label_table(str(tmp_path / "md.json"))


def test_a_truncated_file_is_refused(tmp_path):
    (tmp_path / "t.json").write_text('{"categories": [{"id": 0, "name": "empty"}], "images": [{"id": "a", "file_na')
    with pytest.raises(DataError, match="ends in the middle"):
        read_label_table(str(tmp_path / "t.json"))

"""Label Studio: the newest annotation of each task, its choice and its boxes."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pandas as pd
import pytest

from pipelines.config.loader import load_settings
from pipelines.errors import DataError
from pipelines.exchange.formats import label_studio
from pipelines.exchange.matching import match_boxes

from ..made import write

AT = "2024-05-01T10:00:00.123456Z"


def annotation(*choices, at=AT, **values):
    return {
        "result": [{"type": "choices", "value": {"choices": list(choices)}}],
        "completed_by": {"email": "ann@example.org"},
        "updated_at": at,
    } | values


def task(image, *annotations):
    return {"data": {"image": image}, "annotations": list(annotations), "predictions": [{"result": []}]}


def read(path, text):
    return label_studio.read(write(path, text if isinstance(text, str) else json.dumps(text)), load_settings(None))


def rectangle(x, y, width, height, *labels, **values):
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": list(labels)}
    return {"type": "rectanglelabels", "original_width": 400, "value": value | values}


def boxes_of(imported):
    columns = ["path", "number", "category", "label", "x", "y", "width", "height"]
    return [list(row) for row in pd.concat(imported.detections())[columns].itertuples(index=False)]


def test_label_studio_gives_the_newest_choice_of_each_task(tmp_path):
    imported = read(
        tmp_path / "a.json",
        [
            task("/data/local-files/?d=S1/a%20b.jpg", annotation("fox"), annotation("wolf", at="2024-06-01T00:00:00Z")),
            task("s3://bucket/S1/c%C3%A9.jpg", annotation("lynx"), annotation("fox", at="2025", was_cancelled=True)),
            task("/data/upload/3/0123abcd-IMG_1.jpg", annotation("fox", completed_by=7)),
            task("S1/d.jpg", {"result": [rectangle(1, 2, 3, 4, "hare")] * 2, "updated_at": AT}),
            task("S1/e.jpg", annotation("fox", "hare")),
            task("S1/f.jpg", annotation("fox", was_cancelled=True)),
            task("S1/g.jpg", annotation()),
        ],
    )
    assert imported.labels.drop(columns="reviewed_at").values.tolist() == [
        ["S1/a b.jpg", "S1/a b.jpg", "wolf", "ann@example.org"],
        ["bucket/S1/cé.jpg", "bucket/S1/cé.jpg", "lynx", "ann@example.org"],
        ["/data/upload/3/0123abcd-IMG_1.jpg", "IMG_1.jpg", "fox", "user 7"],
        ["S1/d.jpg", "S1/d.jpg", "hare", None],
    ]
    assert imported.labels["reviewed_at"][1] == datetime(2024, 5, 1, 10, 0, 0, 123456, timezone.utc)
    assert imported.left_out == {"with several choices": 1, "without an annotation": 1, "without a choice": 1}


def test_label_studio_json_min(tmp_path):
    tasks = [
        {"id": 1, "image": "S1/a.jpg", "species": "fox", "annotator": 2, "updated_at": AT, "lead_time": 1.5},
        {"id": 2, "image": "S1/b.jpg", "species": {"choices": ["fox", "hare"]}, "annotator": 2, "updated_at": AT},
    ]
    imported = read(tmp_path / "a.json", tasks)
    assert imported.labels[["path", "label", "reviewer"]].values.tolist() == [["S1/a.jpg", "fox", "user 2"]]
    assert imported.left_out == {"with several choices": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"data": {"image": "a.jpg"}, "annotations": [', "ends in the middle"),
        ('{"annotations": []}', "holds no list"),
        (
            '[{"data": {"text": "x"}, "annotations": [{"result": []}]}]',
            "task 0 cannot be read .its data has no text image",
        ),
        ('[{"data": {"image": "a.jpg"}}]', "task 0 cannot be read"),
        ("[1]", "task 0 cannot be read"),
        ("", "is empty"),
        ('[{"data": {"image": "a.jpg"}, "annotations": [{"result": [{"type": "choices"}]}]}]', "task 0 cannot be read"),
        ("[" * 5000, "it is nested too deeply"),
        (
            '[{"data": {"image": "a.jpg"}, "annotations": [{"result": [], "updated_at": "9999-12-31T00:00:00Z"}]}]',
            "task 0 cannot be read .updated_at = 9999-12-31T00:00:00Z is no time of an annotation",
        ),
    ],
)
def test_a_broken_label_studio_file_is_an_error(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.json", text)


def test_label_studio_has_boxes_in_percent_and_says_which_are_left_out(tmp_path):
    imported = read(
        tmp_path / "a.json",
        [
            task(
                "/data/upload/3/0123abcd-a.jpg",
                {"result": [rectangle(1, 2, 3, 4, "fox")], "updated_at": "2020"},
                {"result": [rectangle(10, 20, 30, 40, " fox"), rectangle(95, 0, 10, 50, "Person")], "updated_at": AT},
            ),
            task(
                "b.jpg",
                {
                    "result": [
                        rectangle(1, 2, 3, 4, "fox", rotation=12.5),
                        rectangle(1, 2, 3, 4),
                        rectangle(1, 2, 3, 4, "fox", "hare"),
                        {"type": "rectangle", "value": {"x": 1, "y": 2, "width": 3, "height": 4}},
                        {"type": "choices", "value": {"choices": ["hare"]}},
                        rectangle(100, 0, 5, 5, "hare"),
                    ]
                },
            ),
            task("/data/upload/3/0123abcd-a.jpg", {"result": [rectangle(0, 0, 100, 50, "car vehicle")]}),
            {"id": 7, "image": "c.jpg", "updated_at": AT, "box": [rectangle(0, 0, 50, 50, "lynx")["value"]]},
        ],
    )
    a = "/data/upload/3/0123abcd-a.jpg"
    assert boxes_of(imported) == [
        [a, 0, "animal", "fox", 0.1, 0.2, pytest.approx(0.3), pytest.approx(0.4)],
        [a, 1, "person", "Person", 0.95, 0.0, pytest.approx(0.05), 0.5],
        [a, 2, "vehicle", "car vehicle", 0.0, 0.0, 1.0, 0.5],
        ["c.jpg", 0, "animal", "lynx", 0.0, 0.0, 0.5, 0.5],
    ]
    assert imported.boxes_left_out == {"rotated": 1, "without a label or with several": 3, "outside their image": 1}
    assert imported.labels["label"].tolist() == ["hare", "car vehicle", "lynx"]
    assert imported.left_out == {"with several choices": 1}
    other, absent = "/data/upload/3/9999abcd-c.jpg", "/data/upload/3/9999abcd-z.jpg"
    matched = match_boxes([a, other, absent], imported, "a.json", ["S1/a.jpg", "S1/c.jpg"], "")
    assert (matched.images, matched.unmatched) == ({a: "S1/a.jpg", other: "S1/c.jpg"}, [absent])


def test_label_studio_without_boxes_has_none_and_with_wrong_ones_is_refused(tmp_path):
    assert read(tmp_path / "a.json", [task("a.jpg", annotation("fox"))]).detections is None
    wrong = [rectangle(1, 2, "3", 4, "fox"), rectangle(900, 2, 3, 4, "fox"), rectangle(1, 2, None, 4, "fox")]
    with pytest.raises(DataError, match=r"3 boxes are wrong, first of a\.jpg: a box should be four numbers"):
        read(tmp_path / "a.json", [task("a.jpg", {"result": wrong})])

"""What the formats read from their files, without Spark."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest

from pipelines.errors import DataError
from pipelines.exchange.formats import label_studio, timelapse, wildlife_insights
from pipelines.exchange.formats.label_studio import iter_array
from pipelines.exchange.matching import match_rows

from .made import write

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
    return label_studio.read(write(path, text if isinstance(text, str) else json.dumps(text)), None)


def test_label_studio_gives_the_newest_choice_of_each_task(tmp_path):
    boxes = {"type": "rectanglelabels", "value": {"x": 1, "y": 2, "width": 3, "height": 4, "rectanglelabels": ["hare"]}}
    imported = read(
        tmp_path / "a.json",
        [
            task("/data/local-files/?d=S1/a%20b.jpg", annotation("fox"), annotation("wolf", at="2024-06-01T00:00:00Z")),
            task("s3://bucket/S1/c%C3%A9.jpg", annotation("lynx"), annotation("fox", at="2025", was_cancelled=True)),
            task("/data/upload/3/0123abcd-IMG_1.jpg", annotation("fox", completed_by=7)),
            task("S1/d.jpg", {"result": [boxes, boxes], "updated_at": AT}),
            task("S1/e.jpg", annotation("fox", "hare")),
            task("S1/f.jpg", annotation("fox", was_cancelled=True)),
            task("S1/g.jpg", annotation()),
        ],
    )
    assert imported.labels.drop(columns="reviewed_at").values.tolist() == [
        ["S1/a b.jpg", "S1/a b.jpg", "wolf", "ann@example.org"],
        ["bucket/S1/cé.jpg", "bucket/S1/cé.jpg", "lynx", "ann@example.org"],
        ["/data/upload/3/0123abcd-IMG_1.jpg", "/data/upload/3/IMG_1.jpg", "fox", "user 7"],
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
        ('[{"data": {"image": "a.jpg"}, "annotations": [', "is no complete list in JSON"),
        ('{"annotations": []}', r"does not begin with \["),
        (
            '[{"data": {"text": "x"}, "annotations": [{"result": []}]}]',
            "task 0 cannot be read .its data has no text image",
        ),
        ('[{"data": {"image": "a.jpg"}}]', "task 0 cannot be read"),
        ("[1]", "task 0 cannot be read"),
        ("", "is no complete list in JSON"),
    ],
)
def test_a_broken_label_studio_file_is_an_error(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.json", text)


def test_a_list_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(label_studio, "READ_CHARACTERS", 7)
    items = [{"a": "é" * 20, "b": [1, 2.5, None]}, "x]", [], {}]
    for text in (json.dumps(items), "\ufeff " + json.dumps(items, indent=3, ensure_ascii=False) + "\n"):
        assert list(iter_array(write(tmp_path / "a.json", text))) == items


def test_wildlife_insights_tells_people_from_the_computer(tmp_path):
    text = (
        "deployment_id,is_blank,genus,species,common_name,filename,identified_by,timestamp\n"
        "D1,0,Vulpes,vulpes,Red Fox,a.jpg,Ann Example,2024-05-01 10:00:00\n"
        "D1,1,,,Blank,b.jpg,Computer vision,2024-05-01 10:01:00\n"
    )
    imported = wildlife_insights.read(write(tmp_path / "images.csv", text), settings())
    assert imported.labels[["label", "station", "reviewer", "is_machine"]].values.tolist() == [
        ["Red Fox", "D1", "Ann Example", False],
        ["Blank", "D1", "Computer vision", True],
    ]
    found = match_rows(imported, "images.csv", ["D1/cam/a.jpg", "D1/cam/b.jpg", "D2/a.jpg"], "", False)
    assert found.rows[["relative_path", "label"]].values.tolist() == [["D1/cam/a.jpg", "Red Fox"]]
    assert found.ignored == 1


def settings(**columns):
    from pipelines.config.loader import load_settings

    return load_settings(None, {"export.columns": columns})


def test_timelapse_reads_the_column_that_the_template_has_for_the_label(tmp_path):
    text = "File,RelativePath,DateTime,Art,Wo\na.jpg,S1\\x,2024-05-01 10:00:00,fox,site 1\n"
    file = write(tmp_path / "data.csv", text)
    with pytest.raises(DataError, match="has no column label"):
        timelapse.read(file, settings())
    imported = timelapse.read(file, settings(Art="final_label", Wo="station", Gone="comment"))
    row = imported.labels.iloc[0]
    assert (row["path"], row["label"], row["station"]) == ("S1/x/a.jpg", "fox", "site 1")

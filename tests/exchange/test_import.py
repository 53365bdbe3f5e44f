"""Imports: which rows match, what they change, and that a file is imported once and never half."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone

import pandas as pd
import pytest
from pyspark.sql import functions as F

from pipelines.exchange.decisions import NAMESPACE
from pipelines.exchange.export import export
from pipelines.exchange.formats.base import Format, Imported
from pipelines.exchange.imports import import_file
from pipelines.schemas import IMAGES
from pipelines.sources.label_matching import match_labels
from pipelines.sources.labels import read_label_table
from pipelines.workspace.tables import Tables

from .made import NOON, ROOT, add_rows, decide, hash_of, image, labels_of, write

A, B, C, D = "S1/a.jpg", "S1/b, é.jpg", "S1/c.jpg", "S2/=d.jpg"


def test_labels_become_decisions_once(survey, spark, make_settings, tmp_path):
    """A file with the label in force, a new one, one of the source, one that a person has decided, and no image."""
    file = write(
        tmp_path / "labels.csv",
        'path,label\nS1/a.jpg,fox\n"S1/b, é.jpg",hare\nS1/c.jpg,wolf\nS2/=d.jpg,\nS9/x.jpg,fox\nS9/y.jpg,fox\n',
    )
    dry = import_file(spark, make_settings(), str(file), is_dry_run=True)
    assert labels_of(survey) == {C: "lynx"}
    result = import_file(spark, make_settings(), str(file))
    assert dry.outcomes == result.outcomes == {"same as before": 1, "new": 1, "replacing a person's decision": 1}
    assert result.unmatched == ["S9/x.jpg", "S9/y.jpg"]
    assert result.left_out == {"without a label": 1}
    assert labels_of(survey) == {B: "hare", C: "wolf"}
    lines = result.lines()
    assert lines[:3] == [
        "import: labels.csv (labels file): 3 images with a label, 2 paths without an image",
        "import: no image for S9/x.jpg, S9/y.jpg",
        "import: labels: 1 new, 1 replacing a person's decision, 1 same as before",
    ]
    assert lines[3].startswith("import: 2 decisions stored, 1 label left out (1 without a label), ")
    assert dry.lines()[3].startswith("import: 2 decisions would be stored, ")
    rows = {row["path"].removeprefix(ROOT): row for row in survey.read("labels").where("queue = 'import'").collect()}
    new = rows[B]
    assert (new["action"], new["source"], new["session"], new["reviewer"]) == (
        "correct",
        "flat",
        "labels.csv",
        "import",
    )
    assert (new["predicted"], new["score"], new["model_version"]) == ("blank", pytest.approx(0.45), "1")
    assert (rows[C]["previous_label"], rows[C]["content_hash"]) == ("lynx", hash_of(C))
    assert new["decision_id"] == str(uuid.uuid5(NAMESPACE, f"flat\n{hash_of(B)}\nhare\n\n"))

    again = import_file(spark, make_settings(), str(file))
    assert (again.outcomes, again.decisions) == ({"same as before": 3}, 0)
    decide(survey, B, "fox", NOON + timedelta(days=9999))
    later = import_file(spark, make_settings(), str(file))
    assert later.outcomes == {"same as before": 2, "imported before and replaced since": 1}
    assert labels_of(survey) == {B: "fox", C: "wolf"}
    assert survey.read("labels").count() == 4


def test_the_newest_decision_wins(survey, spark, make_settings, tmp_path):
    header = "path,label,label_source,is_unknown,final_label,reviewer,reviewed_at,comment\n"
    older = write(tmp_path / "older.csv", header + "S1/c.jpg,hare,person,false,,bob,2020-01-01 10:00:00,far\n")
    result = import_file(spark, make_settings(), str(older))
    assert result.outcomes == {"older than a person's decision, which stays in force": 1}
    assert labels_of(survey) == {C: "lynx"}
    row = survey.read("labels").where("reviewer = 'bob'").first()
    assert (row["label"], row["comment"]) == ("hare", "far")
    assert row["reviewed_at"].astimezone(timezone.utc) == datetime(2020, 1, 1, 10, tzinfo=timezone.utc)
    # Edited in a spreadsheet: the time of the former decision is still there.
    edited = write(tmp_path / "edited.csv", header + "S1/c.jpg,wolf,person,FALSE,,ann,2024-06-01 12:00:00,\n")
    assert import_file(spark, make_settings(), str(edited)).outcomes == {"replacing a person's decision": 1}
    assert labels_of(survey) == {C: "wolf"}
    # A computer whose clock is wrong: no decision is of the future.
    future = write(tmp_path / "future.csv", header + "S1/a.jpg,hare,person,FALSE,,ann,2199-06-01 12:00:00,\n")
    import_file(spark, make_settings(), str(future))
    stored = survey.read("labels").where("session = 'future.csv'").first()["reviewed_at"]
    assert abs(stored.astimezone(timezone.utc) - datetime.now(timezone.utc)) < timedelta(hours=1)
    unknown = write(tmp_path / "unknown.csv", header + "S1/c.jpg,,person,TRUE,,eve,,\nS1/a.jpg,,,TRUE,,eve,,\n")
    result = import_file(spark, make_settings(), str(unknown))
    assert result.outcomes == {"replacing a person's decision": 2}
    assert labels_of(survey) == {A: None, C: None}
    assert import_file(spark, make_settings(), str(unknown)).outcomes == {"same as before": 2}


@pytest.mark.parametrize("name", ["images.csv", "images.parquet"])
def test_an_export_of_flat_gives_the_same_labels_in_an_empty_workspace(survey, spark, make_settings, tmp_path, name):
    decide(survey, D, "+1 fox", NOON, comment="=cmd|' /C calc'!A0")
    decide(survey, B, None, NOON + timedelta(minutes=5), reviewer="bob")
    export(spark, make_settings(), "flat", tmp_path / "out")
    assert import_file(spark, make_settings(), str(tmp_path / "out" / name)).outcomes == {"same as before": 4}
    settings = make_settings({"workspace": str(tmp_path / "other")})
    other = Tables.of(spark, settings)
    other.append("images", survey.read("images").withColumn("label", F.lit(None).cast("string")))
    result = import_file(spark, settings, str(tmp_path / "out" / name))
    assert result.outcomes == {"new": 4}
    assert result.notes == []
    assert labels_of(other) == {A: "fox", B: None, C: "lynx", D: "+1 fox"}
    stored = {row["path"].removeprefix(ROOT): row for row in other.read("labels").collect()}
    assert (stored[D]["comment"], stored[D]["reviewer"], stored[D]["reviewed_at"]) == (
        "=cmd|' /C calc'!A0",
        "ann",
        survey.read("labels").where(f"content_hash = '{hash_of(D)}'").first()["reviewed_at"],
    )
    images = {row["path"].removeprefix(ROOT): row for row in survey.read("images").collect()}
    rows, _ = match_labels(read_label_table(str(tmp_path / "out" / name)), list(images))
    assert len(rows) == 6
    found = {row["path"]: (row["station"], row["captured_at"]) for row in rows.to_dict("records")}
    for path, (station, at) in found.items():
        assert station == images[path]["station"]
        expected = images[path]["captured_at"]
        assert (None if pd.isna(at) else at) == (expected and expected.astimezone(timezone.utc))


def test_an_export_of_timelapse_gives_the_same_labels(survey, spark, make_settings, tmp_path):
    columns = {"export.columns": {"Species": "label", "Where": "station", "Guess": "prediction"}}
    export(spark, make_settings(columns), "timelapse", tmp_path)
    result = import_file(spark, make_settings(columns), str(tmp_path / "timelapse.csv"))
    assert (result.program, result.outcomes) == ("Timelapse", {"same as before": 2})
    settings = make_settings({"workspace": str(tmp_path / "other")} | columns)
    other = Tables.of(spark, settings)
    other.append("images", survey.read("images").withColumn("label", F.lit(None).cast("string")))
    assert import_file(spark, settings, str(tmp_path / "timelapse.csv")).outcomes == {"new": 2}
    assert labels_of(other) == {A: "fox", C: "lynx"}


def test_identical_images_share_a_decision_or_are_left_out(survey, spark, make_settings, tmp_path):
    same, other = hash_of("same"), hash_of("other")
    add_rows(
        survey,
        "images",
        IMAGES,
        [
            image(f"S3/{name}.jpg", content_hash=value)
            for name, value in zip("abcd", (same, same, other, other), strict=True)
        ],
    )
    file = write(
        tmp_path / "labels.csv", "path,label\nS3/a.jpg,fox\nS3/b.jpg,fox\nS3/c.jpg,fox\nS3/d.jpg,hare\nS2/f.jpg,hare\n"
    )
    result = import_file(spark, make_settings(), str(file))
    assert result.outcomes == {
        "new": 2,
        "of identical images with different labels": 2,
        "of images that were never fetched": 1,
    }
    assert result.decisions == 1
    assert result.lines()[-1].startswith("import: 1 decision stored, 3 labels left out (2 of identical images ")
    assert labels_of(survey) == {C: "lynx", "S3/a.jpg": "fox", "S3/b.jpg": "fox"}


def toy_format(monkeypatch, labels, detections=None):
    read = lambda path, settings: Imported("Toy", labels, detections)  # noqa: E731
    toy = Format("toy", "Toy", None, lambda path: True, read)
    monkeypatch.setattr("pipelines.exchange.imports.detect_format", lambda path: toy)


def test_labels_of_a_model_are_taken_only_if_asked_for_and_never_over_others(
    survey, spark, make_settings, tmp_path, monkeypatch
):
    labels = pd.DataFrame({"path": [A, B, C], "label": ["lynx", "lynx", "hare"], "is_machine": [True, True, True]})
    toy_format(monkeypatch, labels)
    file = write(tmp_path / "toy.json", "{}")
    result = import_file(spark, make_settings(), str(file))
    assert (result.outcomes, result.decisions) == ({}, 0)
    assert result.notes == ["3 labels of a model ignored. Import them for images without a label: --machine."]
    result = import_file(spark, make_settings(), str(file), with_machine=True)
    assert result.outcomes == {"new": 1, "of a model, for images that have a label": 2}
    assert labels_of(survey) == {B: "lynx", C: "lynx"}


def test_of_several_rows_a_persons_newest_counts(survey, spark, make_settings, tmp_path, monkeypatch):
    times = [NOON, NOON + timedelta(hours=1), NOON + timedelta(hours=2)]
    labels = pd.DataFrame(
        {"path": [B] * 3, "label": ["wolf", "fox", "hare"], "is_machine": [False, False, True], "reviewed_at": times}
    )
    toy_format(monkeypatch, labels)
    import_file(spark, make_settings(), str(write(tmp_path / "toy.json", "{}")), with_machine=True)
    assert labels_of(survey) == {B: "fox", C: "lynx"}


def test_boxes_are_stored_once(survey, spark, make_settings, tmp_path, monkeypatch):
    box = {"path": A, "number": 0, "category": "animal", "score": 0.9, "x": 0.1, "y": 0.2, "width": 0.3, "height": 0.4}
    none = {"path": B, "number": -1, "category": None}
    chunks = [pd.DataFrame([box, none]), pd.DataFrame([box | {"path": "S9/x.jpg"}])]
    toy_format(monkeypatch, None, lambda: iter(chunks))
    file = str(write(tmp_path / "toy.json", "{}"))
    assert import_file(spark, make_settings(), file, is_dry_run=True).boxes == 2
    assert not survey.exists("detections")
    result = import_file(spark, make_settings(), file)
    assert (result.boxes, result.boxes_unmatched) == (2, 1)
    assert result.lines()[1] == "import: boxes: 2 new, 1 path without an image"
    stored = {row["path"]: row for row in survey.read("detections").collect()}
    found = stored[ROOT + A]
    assert (found["content_hash"], found["number"], found["x"], found["source"]) == (hash_of(A), 0, 0.1, "toy")
    assert (stored[ROOT + B]["number"], stored[ROOT + B]["category"]) == (-1, None)
    assert import_file(spark, make_settings(), file).boxes == 0
    assert survey.read("detections").count() == 2
    assert list((tmp_path / "workspace" / "scratch").iterdir()) == []

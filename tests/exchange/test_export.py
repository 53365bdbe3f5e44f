"""Exports: which rows and values they have, filters, counts, and files that are whole or not there."""

from __future__ import annotations

import csv
from datetime import date

import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from pipelines.errors import DataError, SettingsError
from pipelines.exchange.export import export
from pipelines.exchange.filters import Filters
from pipelines.exchange.rows import export_rows, exported_label, find_images_root, select_rows
from pipelines.schemas import DATASETS, IMAGES, PREDICTIONS

from .made import NOON, add_rows, decide, image, make_survey, prediction

A, B, C, D, E, F_ = "S1/a.jpg", "S1/b, é.jpg", "S1/c.jpg", "S2/=d.jpg", "S2/e.jpg", "S2/f.jpg"


@pytest.fixture
def survey(tables):
    make_survey(tables)
    return tables


def read_csv(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def test_flat_has_a_row_for_each_image(survey, spark, make_settings, tmp_path):
    result = export(spark, make_settings(), "flat", tmp_path / "out")
    rows = read_csv(tmp_path / "out" / "images.csv")
    assert list(rows) == [A, B, C, D, E, F_]
    columns = ("station", "captured_at", "label", "label_source", "final_label", "final_source", "failure")
    assert {path: tuple(row[name] for name in columns) for path, row in rows.items()} == {
        A: ("S1", "2024-06-01 12:00:00", "fox", "source", "fox", "source", ""),
        B: ("S1", "2024-06-01 12:01:00", "", "", "fox", "model", ""),
        C: ("S1", "2024-06-01 12:02:00", "lynx", "person", "lynx", "person", ""),
        D: ("'=S2", "", "", "", "blank", "model", ""),  # no formula of a spreadsheet
        E: ("S2", "2024-06-02 12:00:00", "", "", "", "", "truncated"),
        F_: ("S2", "", "", "", "", "", "unavailable"),
    }
    predicted = ("prediction", "score", "image_prediction", "image_score", "second_prediction", "second_score", "model")
    assert [rows[B][name] for name in predicted] == ["fox", "0.9", "blank", "0.45", "fox", "0.4", "irbis v1"]
    decided = ("reviewer", "reviewed_at", "comment")
    assert [rows[C][name] for name in decided] == ["ann", "2024-06-01 12:00:00", 'on the "left",\nbehind the tree']
    table = pq.read_table(tmp_path / "out" / "images.parquet").to_pylist()
    assert [row["path"] for row in table] == list(rows)
    assert [row["station"] for row in table] == ["S1", "S1", "S1", "=S2", "S2", "S2"]
    assert table[0]["captured_at"] == NOON.replace(tzinfo=None)
    assert result.closing_lines()[0].startswith("export: 6 images written, 0 left out, ")
    assert result.notes == ("there is no champion: the predictions are those of irbis/1.",)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["images.csv", "images.parquet"]


def test_filters_choose_the_rows(survey, make_settings):
    settings = make_settings()
    rows, _ = export_rows(survey, settings, find_images_root(survey, settings))
    rows = survey.materialize(rows)
    for filters, paths in [
        (Filters(stations=("S1",)), [A, B, C]),
        (Filters(stations=("=S2", "S1"), is_reviewed=False), [A, B, D]),
        (Filters(is_reviewed=True), [C]),
        (Filters(labels=("fox",)), [A, B]),
        (Filters(labels=("lynx", "blank")), [C, D]),
        (Filters(since=date(2024, 6, 2)), [E]),
        (Filters(until=date(2024, 6, 1)), [A, B, C]),
        (Filters(since=date(2024, 6, 1), until=date(2024, 6, 2)), [A, B, C, E]),
    ]:
        chosen, notes = select_rows(rows, filters)
        assert sorted(row["relative_path"] for row in chosen.collect()) == paths, filters
        without_time = ["2 images without a time: left out by --since or --until."]
        assert notes == (without_time if filters.since or filters.until else [])
    for filters, message in [
        (Filters(stations=("S3",)), r"--station names S3, but no image has that station. The stations are =S2, S1, S2"),
        (Filters(labels=("foxx",)), r"--label names foxx \(did you mean fox\?\)"),
        (Filters(since=date(2025, 1, 1)), "No image is left. Give fewer"),
    ]:
        with pytest.raises(DataError, match=message):
            select_rows(rows, filters)


def test_a_cannot_tell_is_no_prediction(survey, make_settings):
    decide(survey, B, None)
    settings = make_settings()
    rows, _ = export_rows(survey, settings, find_images_root(survey, settings))
    row = rows.where(F.col("relative_path") == B).first()
    assert (row["label"], row["label_source"], row["is_unknown"], row["prediction"]) == (None, "person", True, "fox")
    assert rows.where(F.col("relative_path") == B).select(exported_label().alias("x")).first()["x"] is None


def test_relative_paths_begin_below_the_dataset_or_the_common_folder(survey, make_settings):
    assert find_images_root(survey, make_settings()) == "file:///survey/2024/"
    assert find_images_root(survey, make_settings({"sources.images": "/survey/2024/S1"})) == "file:///survey/2024/S1/"
    assert find_images_root(survey, make_settings({"sources.images": "/survey"})) == "file:///survey/"
    with pytest.raises(DataError, match=r"sources.images = /other: no image of .* is below it"):
        find_images_root(survey, make_settings({"sources.images": "/other"}))
    roots = {"all": "file:///survey/", "x": "file:///x/"}
    add_rows(survey, "datasets", DATASETS, [{"name": name, "root": root} for name, root in roots.items()])
    assert find_images_root(survey, make_settings()) == "file:///survey/"
    add_rows(survey, "images", IMAGES, [image("x") | {"path": "file:///other/S1/deep/x.jpg"}])
    assert find_images_root(survey, make_settings()) == "file:///"
    add_rows(survey, "images", IMAGES, [image("x") | {"path": "az://account/container/x.jpg"}])
    with pytest.raises(DataError, match="The images are in several stores"):
        find_images_root(survey, make_settings())


def test_predictions_are_of_one_version(survey, make_settings):
    later = NOON.replace(hour=13)
    add_rows(survey, "predictions", PREDICTIONS, [prediction(A, "hare", 0.1, model_version="2", scored_at=later)])
    settings = make_settings()
    rows, notes = export_rows(survey, settings, find_images_root(survey, settings))
    found = {row["relative_path"]: row["prediction"] for row in rows.collect()}
    assert found == dict.fromkeys([B, C, D, E, F_]) | {A: "hare"}
    assert notes == ["there is no champion: the predictions are those of irbis/2."]


def test_timelapse_has_the_columns_of_the_template(survey, spark, make_settings, tmp_path):
    with pytest.raises(SettingsError, match=r"export\.columns is empty"):
        export(spark, make_settings(), "timelapse", tmp_path / "out")
    with pytest.raises(DataError, match=r"export.columns names lable \(did you mean label\?\)"):
        export(spark, make_settings({"export.columns.Species": "lable"}), "timelapse", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    settings = make_settings({"export.columns": {"Species": "final_label", "Seen": "needs_review"}})
    export(spark, settings, "timelapse", tmp_path / "out", Filters(stations=("S1", "=S2")))
    assert (tmp_path / "out" / "timelapse.csv").read_text(encoding="utf-8") == (
        "RelativePath,File,Species,Seen\n"
        '"S1","a.jpg","fox",true\n"S1","b, é.jpg","fox",true\n"S1","c.jpg","lynx",false\n"S2","=d.jpg","blank",false\n'
    )

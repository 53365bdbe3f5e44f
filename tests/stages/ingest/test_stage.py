from __future__ import annotations

import hashlib
import os

import pytest
from pyspark.sql import functions as F

from pipelines.errors import DataError
from pipelines.stages.ingest import stage as ingest
from pipelines.workspace.tables import Tables

from ..conftest import NOON, changed, jpeg, rows


def test_a_image_becomes_a_row_with_its_bytes_hash_label_time_and_size(spark, make_settings, draw):
    content = jpeg(100, 1, NOON)
    folder = draw({"S1/hare/a.jpg": content})
    settings = make_settings({"sources.images": str(folder), "sources.station": "folder:1"})
    result = ingest.run(spark, settings)
    assert (result.read, result.written, result.failed) == (1, 1, 0)
    row = Tables.of(spark, settings).read("images").first()
    assert bytes(row["content"]) == content
    assert row["content_hash"] == hashlib.sha256(content).hexdigest()
    assert (row["path"], row["label"], row["station"]) == (f"file://{folder}/S1/hare/a.jpg", "hare", "S1")
    assert (row["width"], row["height"], row["size"], row["failure"]) == (48, 36, len(content), None)
    assert row["captured_at"] == NOON
    assert (row["burst_id"], row["group_id"]) == ("S1/2024-06-01T12:00:00", "S1/2024-06-01T12:00:00")


def test_bad_files_stay_as_rows_with_their_reason_and_a_second_run_reads_nothing(spark, make_settings, draw):
    folder = draw({"a.jpg": b"", "b.jpg": b"<html>404</html>", "c.jpg": jpeg(80, 2), "d.jpg": b"x" * 3_000_000})
    settings = make_settings({"sources.images": str(folder), "images.max_megabytes": "1"})
    result = ingest.run(spark, settings)
    assert (result.read, result.written, result.failures) == (4, 1, {"empty": 1, "not_an_image": 1, "too_large": 1})
    tables = Tables.of(spark, settings)
    found = rows(tables, "failure", F.col("content_hash").isNull())
    assert found == [("empty", False), ("not_an_image", False), (None, False), ("too_large", True)]
    again = ingest.run(spark, settings)
    assert (again.read, again.written, again.failed, tables.version("images")) == (0, 0, 0, 0)


def test_a_changed_file_becomes_the_current_row_and_the_old_one_stays(spark, make_settings, draw):
    folder = draw({"x/a.jpg": jpeg(80, 1), "x/b.jpg": jpeg(90, 2)})
    settings = make_settings({"sources.images": str(folder)})
    ingest.run(spark, settings)
    new = jpeg(200, 3)
    draw({"x/a.jpg": new})
    assert ingest.run(spark, settings).read == 1
    tables = Tables.of(spark, settings)
    assert tables.read("images").count() == 3
    assert rows(tables, "content_hash")[0] == (hashlib.sha256(new).hexdigest(),)


def test_a_new_label_is_taken_up_without_reading_the_image_and_kept_where_there_are_none(
    spark, make_settings, draw, tmp_path
):
    folder = draw({"a.jpg": jpeg(80, 1), "b.jpg": jpeg(90, 2)})
    labels = tmp_path / "labels.csv"
    labels.write_text("path,label\na.jpg,hare\n")
    settings = make_settings({"sources.images": str(folder), "sources.labels": str(labels)})
    ingest.run(spark, settings)
    labels.write_text("path,label\na.jpg,fox\nb.jpg,hare\n")
    os.chmod(folder / "a.jpg", 0)  # nobody but root would be able to read it again
    result = ingest.run(spark, settings)
    tables = Tables.of(spark, settings)
    assert (result.read, result.written) == (0, 2)
    assert rows(tables, "label") == [("fox",), ("hare",)]
    newest = tables.latest_images().where("label = 'fox'")
    assert bytes(tables.with_content(newest, newest.first()["content_at"]).first()["content"]) == jpeg(80, 1)
    assert ingest.run(spark, changed(settings, "sources", labels="none")).written == 0
    assert rows(tables, "label") == [("fox",), ("hare",)]


def test_a_folder_without_images_names_what_is_there(spark, make_settings, draw):
    folder = draw({"notes.txt": b"x", "a.mp4": b"y", "b.mp4": b"z"})
    with pytest.raises(
        DataError, match=r"has no images, only 3 files: 2 videos \(mp4\), 1 metadata or text file \(txt"
    ):
        ingest.run(spark, make_settings({"sources.images": str(folder)}))

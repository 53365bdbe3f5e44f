from __future__ import annotations

import hashlib
import os

import pytest
from pyspark.sql import functions as F

from pipelines.errors import DataError
from pipelines.stages.ingest import stage as ingest
from pipelines.status import as_text, collect_status
from pipelines.workspace.tables import Tables, content_ingested_at

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


def test_bad_files_stay_as_rows_with_their_reason(spark, make_settings, draw):
    folder = draw({"a.jpg": b"", "b.jpg": b"<html>404</html>", "c.jpg": jpeg(80, 2), "d.jpg": b"x" * 3_000_000})
    settings = make_settings({"sources.images": str(folder), "images.max_megabytes": "1"})
    result = ingest.run(spark, settings)
    assert (result.read, result.written, result.failures) == (4, 1, {"empty": 1, "not_an_image": 1, "too_large": 1})
    found = rows(Tables.of(spark, settings), "failure", F.col("content_hash").isNull())
    assert found == [("empty", False), ("not_an_image", False), (None, False), ("too_large", True)]


def test_a_second_run_reads_nothing_and_writes_nothing(spark, make_settings, draw):
    settings = make_settings({"sources.images": str(draw({"x/a.jpg": jpeg(80, 1), "x/b.jpg": b""}))})
    ingest.run(spark, settings)
    tables = Tables.of(spark, settings)
    version = tables.version("images")
    again = ingest.run(spark, settings)
    assert (again.read, again.written, again.failed) == (0, 0, 0)
    assert tables.version("images") == version


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


def test_files_written_again_with_the_same_bytes_are_not_stored_again(spark, make_settings, draw):
    images = {f"x/{n}.jpg": jpeg(80 + n, n) for n in range(8)}
    folder = draw(images)
    settings = make_settings({"sources.images": str(folder)})
    ingest.run(spark, settings)
    tables = Tables.of(spark, settings)
    for name in images:
        os.utime(folder / name, ns=(0, (folder / name).stat().st_mtime_ns + 3600 * 10**9))
    draw({"x/0.jpg": jpeg(200, 9)})
    result = ingest.run(spark, settings)
    assert (result.read, result.written) == (8, 8)
    assert result.notes[0] == "7 images unchanged except for file times: no bytes are stored again."
    stored = tables.read("images").where("content is not null").groupBy("path").count()
    assert sorted((row["path"][-5:], row["count"]) for row in stored.collect()) == [
        ("0.jpg", 2),
        *[(f"{n}.jpg", 1) for n in range(1, 8)],
    ]
    current = tables.latest_images()
    found = tables.with_content(current, current.agg(F.min(content_ingested_at())).first()[0]).collect()
    expected = {**images, "x/0.jpg": jpeg(200, 9)}
    assert {row["path"][-7:]: bytes(row["content"]) for row in found} == expected
    assert ingest.run(spark, settings).read == 0


def test_a_file_written_again_keeps_its_label_where_the_listing_has_no_say(spark, make_settings, draw):
    folder = draw({"hare/a.jpg": jpeg(80, 1)})
    ingest.run(spark, make_settings({"sources.images": str(folder)}))
    os.utime(folder / "hare/a.jpg", (1, 1))
    settings = make_settings({"sources.images": str(folder), "sources.labels": "none"})
    assert ingest.run(spark, settings).read == 1
    assert rows(Tables.of(spark, settings), "label") == [("hare",)]


def test_a_new_label_is_taken_up_without_reading_the_image_again(spark, make_settings, draw, tmp_path):
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
    assert ingest.run(spark, settings).written == 0


def test_a_set_without_labels_does_not_wipe_labels_that_are_there(spark, make_settings, draw):
    folder = draw({"hare/a.jpg": jpeg(80, 1)})
    ingest.run(spark, make_settings({"sources.images": str(folder)}))
    settings = make_settings({"sources.images": str(folder), "sources.labels": "none"})
    assert ingest.run(spark, settings).written == 0
    assert rows(Tables.of(spark, settings), "label") == [("hare",)]


def test_several_commits_give_the_same_table_as_one(spark, make_settings, draw, survey):
    images = {name: survey[name] for name in sorted(survey)[:24]}
    folder = draw(images)
    found = []
    for size, workspace in ((20000, "w1"), (5, "w2")):
        settings = make_settings(
            {
                "sources.images": str(folder),
                "sources.station": "folder:1",
                "ingest.files_per_commit": size,
                "workspace": str(draw({}, workspace)),
            }
        )
        assert ingest.run(spark, settings).read == 24
        found.append(rows(Tables.of(spark, settings), "path", "content_hash", "burst_id", "group_id", "label"))
    assert found[0] == found[1]


def test_late_images_in_several_commits_are_all_read_and_their_failures_counted(spark, make_settings, draw):
    settings = make_settings({"sources.images": str(draw({"x/0.jpg": jpeg(80, 0)})), "ingest.files_per_commit": 2})
    ingest.run(spark, settings)
    draw({f"x/{n}.jpg": jpeg(80, n) for n in range(1, 7)} | {"x/7.jpg": b"", "x/8.jpg": b"<html>"})
    result = ingest.run(spark, settings)
    assert (result.read, result.written, result.failures) == (8, 6, {"empty": 1, "not_an_image": 1})
    tables = Tables.of(spark, settings)
    assert [row[0].rpartition("/")[2] for row in rows(tables, "path")] == [f"{n}.jpg" for n in range(9)]
    assert tables.version("images") == 4
    assert ingest.run(spark, settings).read == 0


def test_identical_bytes_under_two_labels_are_named(spark, make_settings, draw):
    same = jpeg(80, 1)
    folder = draw({"fox/a.jpg": same, "hare/b.jpg": same, "hare/c.jpg": same, "hare/d.jpg": jpeg(90, 2)})
    guesses, note = ingest.run(spark, make_settings({"sources.images": str(folder)})).notes
    assert guesses.startswith("station and camera of 4 of 4 images are unknown: 4 without a time are groups of their")
    assert note.startswith("1 image with more than one label left out of training, first ")
    assert f"file://{folder}/fox/a.jpg = file://{folder}/hare/b.jpg" in note


def test_identical_bytes_whose_labels_were_mended_are_not_named(spark, make_settings, draw, tmp_path):
    folder = draw(dict.fromkeys(("a.jpg", "b.jpg"), jpeg(80, 1)))
    labels = tmp_path / "labels.csv"
    settings = make_settings({"sources.images": str(folder), "sources.labels": str(labels)})
    labels.write_text("path,label\na.jpg,fox\nb.jpg,hare\n")
    assert len(ingest.run(spark, settings).notes) == 3
    labels.write_text("path,label\na.jpg,hare\nb.jpg,hare\n")
    assert ingest.run(spark, settings).notes == (
        "labels.csv: label = label, path = path; 2 of 2 images have a label, 0 have none.",
        "1 images got a new label, station or burst.",
        f"1 image with the same bytes as another, first file://{folder}/a.jpg = file://{folder}/b.jpg: each is scored "
        "and counted, and training uses one of them. If a folder exists twice, remove one.",
    )


def test_a_folder_without_images_names_what_is_there(spark, make_settings, draw):
    folder = draw({"notes.txt": b"x", "a.mp4": b"y", "b.mp4": b"z"})
    with pytest.raises(
        DataError, match=r"has no images, only 3 files: 2 videos \(mp4\), 1 metadata or text file \(txt"
    ):
        ingest.run(spark, make_settings({"sources.images": str(folder)}))


def test_every_file_that_is_passed_over_is_counted_at_every_ingest(spark, make_settings, draw):
    image = jpeg(80, 1)
    junk = {"fox/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg": image, "fox/.ipynb_checkpoints/1-checkpoint.jpg": image}
    folder = draw({"fox/1.jpg": image, "fox/1.MP4": b"v", "fox/2": image, "fox/Thumbs.db": b"t", **junk})
    settings = make_settings({"sources.images": str(folder)})
    first, second = ingest.run(spark, settings), ingest.run(spark, settings)
    assert (first.read, second.read) == (1, 0)
    assert first.notes[:1] == second.notes == second.persistent_notes
    assert len(second.notes) == 1 and second.notes[0].startswith("skipped 5 of 6 files: 1 video (mp4), 1 file ")
    assert [row["label"] for row in Tables.of(spark, settings).latest_images().collect()] == ["fox"]
    status = collect_status(spark, settings)
    assert (status["missing"]["ingest"], status["passed_over"]) == (0, second.notes[0])
    assert f"not read     {second.notes[0]}" in as_text(status).splitlines()


def test_images_without_a_serial_number_are_counted_where_it_is_the_station(spark, make_settings, draw):
    folder = draw({"a.jpg": jpeg(80, 1), "b.jpg": jpeg(90, 2), "c.jpg": jpeg(99, 3, NOON, camera="SN1"), "d.jpg": b""})
    settings = make_settings({"sources.images": str(folder), "sources.labels": "none"})
    assert len(ingest.run(spark, settings).notes) == 1
    by_serial = {"workspace": f"{settings.workspace}2", "sources.station": "exif", "sources.labels": "none"}
    settings = make_settings({"sources.images": str(folder), **by_serial})
    assert ingest.run(spark, settings).notes == (
        f"2 of 3 images have no serial number that irbis can read, hence no station, first file://{folder}/a.jpg. "
        "Give it by folder or name instead: sources.station=folder:N or regex:PATTERN.",
    )
    assert ingest.run(spark, settings).notes == ()


def test_images_with_the_same_bytes_are_reported(spark, make_settings, draw):
    same = jpeg(90, 1)
    folder = draw({"fox/a.jpg": same, "backup/fox/a.jpg": same, "backup/fox/b.jpg": same, "fox/c.jpg": jpeg(90, 2)})
    settings = make_settings({"sources.images": str(folder)})
    *_, note = ingest.run(spark, settings).notes
    first = f"file://{folder}/backup/fox/a.jpg = file://{folder}/backup/fox/b.jpg"
    assert note == (
        f"2 images with the same bytes as another, first {first}: each is scored and counted, and training uses one of "
        "them. If a folder exists twice, remove one."
    )
    link = folder.parent / "link"
    link.symlink_to(folder)
    *_, note = ingest.run(spark, changed(settings, "sources", images=str(link))).notes
    assert note.startswith("6 images with the same bytes as another, first file://")

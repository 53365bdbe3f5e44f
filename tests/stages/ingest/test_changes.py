from __future__ import annotations

import os
from datetime import timedelta

from pyspark.sql import functions as F

from pipelines.stages.ingest import stage as ingest
from pipelines.workspace.tables import Tables, content_ingested_at

from ..conftest import NOON, jpeg, rows


def test_frames_that_arrive_late_end_up_in_the_same_bursts_as_at_once(spark, make_settings, draw):
    frames = {f"S1/{i}.jpg": jpeg(80 + i, i, NOON + timedelta(seconds=40 * i)) for i in range(4)}
    rule = {"sources.labels": "none", "sources.station": "folder:1"}
    at_once = make_settings({"sources.images": str(draw(frames, "once")), "workspace": str(draw({}, "w1")), **rule})
    ingest.run(spark, at_once)
    folder = draw({name: frames[name] for name in ("S1/1.jpg", "S1/3.jpg")}, "late")  # 80 s apart: two bursts
    late = make_settings({"sources.images": str(folder), "workspace": str(draw({}, "w2")), **rule})
    ingest.run(spark, late)
    assert len(set(rows(Tables.of(spark, late), "burst_id"))) == 2
    draw(frames, "late")
    for name in ("S1/1.jpg", "S1/3.jpg"):  # written again with the same bytes: another etag
        assert (folder / name).exists()
    ingest.run(spark, late)
    bursts = rows(Tables.of(spark, late), "burst_id", "group_id")
    assert bursts == rows(Tables.of(spark, at_once), "burst_id", "group_id")
    assert set(bursts) == {("S1/2024-06-01T12:00:00", "S1/2024-06-01T12:00:00")}


def test_late_frames_and_the_earlier_ones_that_they_rename_are_one_commit(spark, make_settings, draw):
    frames = {f"S1/{i}.jpg": jpeg(80 + i, i, NOON + timedelta(seconds=40 * i)) for i in range(4)}
    frames["S2/0.jpg"] = jpeg(99, 9, NOON)
    folder = draw({name: frames[name] for name in ("S1/1.jpg", "S1/3.jpg", "S2/0.jpg")})
    settings = make_settings({"sources.images": str(folder), "sources.labels": "none", "sources.station": "folder:1"})
    ingest.run(spark, settings)
    tables = Tables.of(spark, settings)
    assert tables.version("images") == 0
    draw({"S1/2.jpg": frames["S1/2.jpg"]})  # joins 1 and 3
    result = ingest.run(spark, settings)
    assert (result.read, result.written, tables.version("images")) == (1, 2, 1)
    assert set(rows(tables, "burst_id")) == {("S1/2024-06-01T12:00:40",), ("S2/2024-06-01T12:00:00",)}
    stated = {row["path"][-8:]: row["count"] for row in tables.read("images").groupBy("path").count().collect()}
    assert stated == {"S1/1.jpg": 1, "S1/2.jpg": 1, "S1/3.jpg": 2, "S2/0.jpg": 1}
    renamed = tables.latest_images().where(F.col("path").endswith("S1/3.jpg"))
    since = renamed.select(content_ingested_at()).first()[0]
    assert bytes(tables.with_content(renamed, since).first()["content"]) == frames["S1/3.jpg"]


def test_a_file_replaced_by_one_of_another_day_leaves_its_burst(spark, make_settings, draw):
    frames = {f"S1/{i}.jpg": jpeg(80 + i, i, NOON + timedelta(seconds=20 * i)) for i in range(3)}
    rule = {"sources.labels": "none", "sources.station": "folder:1"}
    folder = draw(frames)
    settings = make_settings({"sources.images": str(folder), **rule})
    ingest.run(spark, settings)
    draw({"S1/0.jpg": jpeg(80, 0, NOON + timedelta(days=1))})
    os.utime(folder / "S1/0.jpg", (1, 1))
    assert ingest.run(spark, settings).written == 3
    late = "2024-06-02T12:00:00"
    assert rows(Tables.of(spark, settings), "burst_id", "group_id") == [
        (f"S1/{late}", f"S1/{late}"),
        *[("S1/2024-06-01T12:00:20", "S1/2024-06-01T12:00:20")] * 2,
    ]


def test_a_late_frame_finds_the_images_that_are_at_its_station_now(spark, make_settings, draw, tmp_path):
    frames = {f"{i}.jpg": jpeg(80 + i, i, NOON + timedelta(seconds=40 * i)) for i in range(3)}
    folder = draw({name: frames[name] for name in ("0.jpg", "2.jpg")})
    labels = tmp_path / "labels.csv"
    settings = make_settings({"sources.images": str(folder), "sources.labels": str(labels)})
    for station in ("S1", "S2"):  # 0.jpg was put under the wrong one
        labels.write_text(f"path,label,station\n0.jpg,,{station}\n2.jpg,,S1\n")
        ingest.run(spark, settings)
    labels.write_text("path,label,station\n0.jpg,,S2\n1.jpg,,S1\n2.jpg,,S1\n")
    draw({"1.jpg": frames["1.jpg"]})
    assert ingest.run(spark, settings).written == 2
    assert rows(Tables.of(spark, settings), "burst_id") == [
        ("S2/2024-06-01T12:00:00",),
        *[("S1/2024-06-01T12:00:40",)] * 2,
    ]


def test_a_file_that_leaves_for_another_station_changes_the_bursts_of_the_one_it_left(spark, make_settings, draw):
    frames = {f"{i}.jpg": jpeg(80 + i, i, NOON + timedelta(seconds=40 * i), camera="C1") for i in range(3)}
    folder = draw(frames)
    settings = make_settings({"sources.images": str(folder), "sources.labels": "none", "sources.station": "exif"})
    ingest.run(spark, settings)
    assert len(set(rows(Tables.of(spark, settings), "burst_id"))) == 1
    draw({"1.jpg": jpeg(81, 1, NOON + timedelta(seconds=40), camera="C2")})
    os.utime(folder / "1.jpg", (1, 1))
    assert ingest.run(spark, settings).written == 2
    stamps = [burst[-8:] for (burst,) in rows(Tables.of(spark, settings), "burst_id")]
    assert stamps == ["12:00:00", "12:00:40", "12:01:20"]


def test_groups_stay_when_the_frame_between_them_is_gone(spark, make_settings, draw):
    frames = {f"S1/{n}.jpg": jpeg(80 + n, n, NOON + timedelta(minutes=20 * n)) for n in range(3)}
    folder = draw(frames)
    settings = make_settings({"sources.images": str(folder), "sources.labels": "none", "sources.station": "folder:1"})
    ingest.run(spark, settings)
    tables = Tables.of(spark, settings)
    first = rows(tables, "group_id")[0]
    (folder / "S1/1.jpg").unlink()
    ingest.run(spark, settings)
    draw({"S1/3.jpg": jpeg(99, 9, NOON + timedelta(minutes=45))})
    ingest.run(spark, settings)
    assert rows(tables, "group_id") == [first] * 3


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


def test_several_commits_give_the_same_table_as_one(spark, make_settings, draw, survey):
    images = {name: survey[name] for name in sorted(survey)[:6]}  # two bursts
    folder = draw(images)
    found = []
    for size, workspace in ((20000, "w1"), (3, "w2")):
        settings = make_settings(
            {
                "sources.images": str(folder),
                "sources.station": "folder:1",
                "ingest.files_per_commit": size,
                "workspace": str(draw({}, workspace)),
            }
        )
        assert ingest.run(spark, settings).read == 6
        found.append(rows(Tables.of(spark, settings), "path", "content_hash", "burst_id", "group_id", "label"))
    assert found[0] == found[1]

"""The current images, their contents, and what a table counts and deletes."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

from pyspark.sql import functions as F

from pipelines.spark.runtime import sql_conf
from pipelines.workspace.deletions import FEW_TASKS, NO_CHECK
from pipelines.workspace.tables import content_ingested_at
from tests.workspace.made_rows import NOON, images

KNOWN = ["path", "ingested_at", "content_path", "content_at"]


def test_a_row_without_content_gets_that_of_the_row_it_refers_to(spark, tables):
    tables.append(
        "images", images(spark, ("a.jpg", "cat", b"1", 1), ("b.jpg", "cat", b"2", 1), ("c.jpg", None, None, 1))
    )
    moved = images(spark, ("a.jpg", "dog", None, 5), ("moved/b.jpg", "dog", None, 5))
    at = F.lit(NOON + timedelta(minutes=1))
    name = F.element_at(F.split("path", "/"), -1)
    tables.append("images", moved.withColumn("content_path", name).withColumn("content_at", at))
    rows = tables.materialize(tables.latest_images().where("path <> 'b.jpg'"))
    since = rows.agg(F.min(content_ingested_at())).first()[0]
    assert since.astimezone(timezone.utc) == NOON + timedelta(minutes=1)
    found = {row["path"]: (row["label"], row["content"]) for row in tables.with_content(rows, since).collect()}
    assert found == {
        "a.jpg": ("dog", bytearray(b"1")),
        "moved/b.jpg": ("dog", bytearray(b"2")),
        "c.jpg": (None, None),
    }


def test_removed_paths_are_left_out_unless_asked_for(spark, tables):
    tables.append(
        "images", images(spark, ("a.jpg", "cat", b"1", 1), ("b.jpg", "cat", b"2", 1), ("c.jpg", "cat", b"3", 1))
    )
    removed = images(spark, ("a.jpg", "cat", None, 2), ("b.jpg", "cat", None, 2))
    tables.append("images", removed.withColumn("removed_at", F.lit(NOON)))
    tables.append("images", images(spark, ("b.jpg", "dog", None, 3)))  # there again
    assert [row["path"] for row in tables.latest_images().orderBy("path").collect()] == ["b.jpg", "c.jpg"]
    of = tables.materialize(tables.read("images").where("label = 'cat'").select("path", "ingested_at"))
    assert [row["path"] for row in tables.latest_images(of).orderBy("path").collect()] == ["b.jpg", "c.jpg"]
    found = tables.latest_images(with_removed=True).orderBy("path").select("path", "removed_at").collect()
    assert [(path, at is not None) for path, at in found] == [("a.jpg", True), ("b.jpg", False), ("c.jpg", False)]


def test_rows_with_the_values_of_a_key_are_deleted_and_their_bytes_leave_the_disk(spark, tables):
    secret = b"someone who was not asked"
    rows = images(spark, ("a.jpg", "cat", secret, 1), ("a.jpg", "cat", b"2", 2), ("b.jpg", "cat", b"3", 1))
    tables.append("images", rows, compression="uncompressed")
    keys = tables.read("images").where("path = 'a.jpg'").select("path", "ingested_at").orderBy("ingested_at").limit(1)
    tables.delete_matching("images", keys.unionAll(keys))
    left = {(row["path"], bytes(row["content"])) for row in tables.read("images").collect()}
    assert left == {("a.jpg", b"2"), ("b.jpg", b"3")}

    def is_on_disk():
        return any(secret in file.read_bytes() for file in Path(tables.location("images")).glob("**/*.parquet"))

    with sql_conf(spark, **FEW_TASKS):
        tables.vacuum("images", None)
        assert is_on_disk()
        with sql_conf(spark, **NO_CHECK):
            tables.vacuum("images", 0)
    assert not is_on_disk()
    assert tables.read("images").count() == 2


def test_the_newest_rows_of_a_few_paths_are_looked_for_in_the_files_that_can_hold_them(spark, tables):
    for minutes in range(4):
        tables.append(
            "images", images(spark, ("1.jpg", f"at {minutes}", b"1", minutes), (f"{minutes}.png", "", b"2", 0))
        )
    of = tables.materialize(tables.read("images").where("label = 'at 2'").select("path", "ingested_at"))
    found = tables.latest_images(of)
    assert [(row["path"], row["label"]) for row in found.collect()] == [("1.jpg", "at 3")]
    assert (len(found.inputFiles()), len(tables.read("images").inputFiles())) == (2, 8)
    nothing = tables.latest_images(of.where("path is null"))
    assert nothing._jdf.queryExecution().optimizedPlan().toString().startswith("LocalRelation <empty>")
    assert (nothing.columns, nothing.collect()) == (found.columns, [])


def test_no_image_is_lost_in_the_hour_that_comes_twice(spark, tables, monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        first = int((datetime(2026, 10, 25, 0, 30, tzinfo=timezone.utc) - NOON).total_seconds() // 60)
        for minutes in (first, first + 60):  # half past two in summer, and half past two in winter
            tables.append("images", images(spark, ("1.jpg", None, b"%d" % minutes, minutes)))
            rows = tables.latest_images().select(*KNOWN)
            since = rows.first()["ingested_at"]
            assert [row["content"] for row in tables.with_content(rows, since).collect()] == [b"%d" % minutes]
            assert tables.latest_images(tables.materialize(rows)).count() == 1
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_rough_count_is_of_all_rows_that_are_in_whole_files(spark, tables):
    assert tables.approximate_count("images") == 0
    for minutes in range(12):  # the log's checkpoint, from the tenth commit on, holds no images
        tables.append("images", images(spark, ("1.jpg", None, b"1", minutes), ("2.jpg", None, b"2", minutes)))
    (Path(tables.location("images")) / "part-killed.parquet").write_bytes(b"PAR1 and no more")
    assert tables.approximate_count("images") == 24


def test_keys_are_sent_to_the_rows_only_where_they_are_few(spark, tables, monkeypatch):
    monkeypatch.setattr("pipelines.workspace.tables.BROADCAST_MAX_ROWS", 2)
    for count, is_sent in ((1, True), (2, True), (3, False)):
        rows = spark.range(9).join(tables.broadcast_keys(spark.range(count)), "id", "left_semi")
        assert sorted(row["id"] for row in rows.collect()) == list(range(count))
        assert ("strategy=broadcast" in rows._jdf.queryExecution().analyzed().toString()) == is_sent
    none = spark.range(9).join(tables.broadcast_keys(spark.range(0)), "id", "left_semi")
    assert "Join" not in none._jdf.queryExecution().optimizedPlan().toString()
    assert none.collect() == []

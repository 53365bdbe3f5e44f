"""The Delta tables: appended rows stay, and the newest row of a path is current."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from pipelines.errors import DataError
from pipelines.schemas import FEATURES, IMAGES, PREDICTIONS, parse_ddl
from pipelines.workspace.chunks import split_into_chunks
from pipelines.workspace.location import workspace_uri
from pipelines.workspace.tables import Tables, count_failures, uses_local_checkpoint
from tests.workspace.made_rows import NOON, images, predictions

KEYS = ["path", "content_hash", "model_version"]


def scores(tables: Tables) -> dict[tuple[str, str | None], float]:
    found = tables.read("predictions").select("path", "content_hash", "score").collect()
    assert len({row[:2] for row in found}) == len(found)
    return {(row["path"], row["content_hash"]): row["score"] for row in found}


def test_a_table_never_written_is_empty_and_has_its_columns(tables):
    for name, schema in (("images", IMAGES), ("features", FEATURES), ("predictions", PREDICTIONS)):
        assert tables.read(name).columns == list(parse_ddl(schema))
        assert tables.read(name).head(1) == []
        assert (tables.exists(name), tables.version(name), tables.bytes_on_disk(name)) == (False, None, 0)


def test_images_are_appended_uncompressed_and_the_newest_row_of_a_path_is_current(spark, tables):
    first = images(spark, ("a b.jpg", "cat", b"x" * 5000, 0), ("é.jpg", "cat", b"2", 0), ("gone.jpg", "cat", None, 0))
    tables.append("images", first.select(*sorted(first.columns)), compression="uncompressed")  # any order will do
    assert tables.read("images").columns == list(parse_ddl(IMAGES))
    assert tables.version("images") == 0
    folder = Path(tables.location("images"))
    codecs = set()
    for file in folder.glob("*.parquet"):
        group = pq.ParquetFile(file).metadata.row_group(0)
        codecs |= {group.column(n).compression for n in range(group.num_columns)}
    assert codecs == {"UNCOMPRESSED"}
    assert tables.bytes_on_disk("images") == sum(file.stat().st_size for file in folder.glob("*.parquet")) > 5000

    second = images(spark, ("é.jpg", "dog", b"22", 2), ("new.jpg", None, b"3", 2))
    tables.append("images", second, compression="uncompressed")
    current = tables.latest_images()
    assert "content" not in current.columns
    assert {row["path"]: row["label"] for row in current.collect()} == {
        "a b.jpg": "cat",
        "é.jpg": "dog",
        "gone.jpg": "cat",
        "new.jpg": None,
    }
    assert (tables.read("images").count(), tables.version("images")) == (5, 1)

    wanted = current.where("path in ('é.jpg', 'gone.jpg', 'new.jpg')").select(
        "path", "ingested_at", "content_path", "content_at", "label"
    )
    whole = tables.with_content(wanted, NOON)
    assert {row["path"]: (row["label"], row["content"]) for row in whole.collect()} == {
        "é.jpg": ("dog", bytearray(b"22")),
        "gone.jpg": ("cat", None),
        "new.jpg": (None, bytearray(b"3")),
    }


def test_an_append_that_fails_leaves_the_table_as_it_was(spark, tables):
    tables.append("images", images(spark, ("1.jpg", "cat", b"1", 0)))
    rows = images(spark, *[(f"{n}.jpg", "cat", b"x", 1) for n in range(2, 10)]).repartition(2)
    broken = rows.withColumn("label", F.when(F.col("path") == "9.jpg", F.raise_error(F.lit("killed"))).otherwise("cat"))
    with pytest.raises(Exception, match="killed"):
        tables.append("images", broken)
    assert [row["path"] for row in tables.read("images").collect()] == ["1.jpg"]
    assert tables.version("images") == 0
    tables.append("images", rows)
    assert tables.read("images").count() == 9


def test_an_upsert_replaces_rows_of_the_same_keys_and_adds_the_others(spark, tables):
    tables.upsert("predictions", predictions(spark, ("1", "x", "7", 0.1), ("2", None, "7", 0.2)), KEYS)
    assert scores(tables) == {("1", "x"): 0.1, ("2", None): 0.2}
    tables.upsert("predictions", predictions(spark, ("2", None, "7", 0.5), ("1", "y", "7", 0.3)), KEYS)
    assert scores(tables) == {("1", "x"): 0.1, ("2", None): 0.5, ("1", "y"): 0.3}
    assert tables.version("predictions") == 1


def test_named_tables_live_in_a_schema(spark, make_settings):
    spark.sql("CREATE DATABASE IF NOT EXISTS irbis_test")
    named = Tables.of(spark, make_settings({"tables.schema": "irbis_test"}))
    try:
        assert (named.location("images"), named.exists("images")) == ("irbis_test.images", False)
        named.append("images", images(spark, ("1.jpg", "cat", b"1", 0)), compression="uncompressed")
        named.append("images", images(spark, ("1.jpg", "dog", b"1", 1)), compression="uncompressed")
        assert (named.exists("images"), named.version("images")) == (True, 1)
        assert [row["label"] for row in named.latest_images().collect()] == ["dog"]
        assert named.bytes_on_disk("images") > 0
        assert named.approximate_count("images") == 2
        named.upsert("predictions", predictions(spark, ("1", "x", "7", 0.1)), KEYS)
        named.upsert("predictions", predictions(spark, ("1", "x", "7", 0.9)), KEYS)
        assert scores(named) == {("1", "x"): 0.9}
    finally:
        spark.sql("DROP DATABASE irbis_test CASCADE")


def test_columns_that_an_earlier_version_did_not_write_are_read_as_null_and_stand_last_in_their_order(spark, tables):
    added = [
        "failure_detail",
        "camera",
        "burst_rule",
        "file_series",
        "file_number",
        "removed_at",
        "content_path",
        "content_at",
    ]
    older = images(spark, ("1.jpg", "cat", b"1", 0)).drop(*added)
    older.write.format("delta").save(tables.location("images"))
    rows = tables.read("images")
    assert rows.columns == list(parse_ddl(IMAGES)) and rows.columns[-8:] == added
    assert [rows.first()[column] for column in added] == [None] * 8


def test_a_schema_that_is_not_there_is_named(spark, make_settings):
    named = Tables.of(spark, make_settings({"tables.schema": "no_such"}))
    assert named.read("images").head(1) == []
    with pytest.raises(DataError, match=r"tables\.schema = no_such: there is no such schema\. CREATE SCHEMA no_such"):
        named.append("images", images(spark, ("1.jpg", "cat", b"1", 0)))


def test_materialized_rows_are_stored_in_the_workspace_of_a_cluster_unless_it_is_a_volume():
    places = ["/w", "/Volumes/a/b/c", "dbfs:///Volumes/a/b/c", "abfss://c@a.dfs.core.windows.net/w", "/data/Volumes/x"]
    assert [uses_local_checkpoint("yarn", place) for place in places] == [False, True, True, False, False]
    assert uses_local_checkpoint("local[2]", "/w")


def test_a_workspace_may_have_any_name(spark, make_settings, tmp_path):
    name = "Jaguaré [1] {a,b} 50% #2 `x' y"
    odd = Tables.of(spark, make_settings({"workspace": str(tmp_path / name)}))
    odd.append("images", images(spark, ("1.jpg", "cat", b"1", 0)))
    assert (odd.version("images"), odd.read("images").count()) == (0, 1)
    assert (tmp_path / name / "tables/images/_delta_log").is_dir()
    assert odd.bytes_on_disk("images") > 0


def test_tables_of_a_cloud_address_are_below_it(make_settings, monkeypatch, tmp_path):
    def place(workspace: str) -> str:
        return f"{workspace_uri(make_settings({'workspace': workspace}))}/tables/images"

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    cloud = "abfss://c@acc.dfs.core.windows.net/irbis"
    assert place(f"{cloud}/") == place("az://acc/c/irbis") == f"{cloud}/tables/images"
    assert place("dbfs:/irbis") == "dbfs:///irbis/tables/images"
    assert place("file:///data/irbis") == "/data/irbis/tables/images"
    assert place("~/irbis") == "/home/somebody/irbis/tables/images"
    assert place("irbis") == f"{tmp_path}/irbis/tables/images"


def test_failures_are_counted_by_name(spark):
    rows = spark.createDataFrame([("empty",), ("truncated",), ("empty",), (None,)], "failure string")
    assert count_failures(rows) == {"empty": 2, "truncated": 1}


def test_rows_are_cut_into_commits_in_order(spark):
    rows = spark.createDataFrame([(f"{n:02}",) for n in range(10, 0, -1)], "path string")
    cut = [([row["path"] for row in chunk.collect()], count) for chunk, count in split_into_chunks(rows, 10, 4, "path")]
    assert cut == [(["01", "02", "03", "04"], 4), (["05", "06", "07", "08"], 4), (["09", "10"], 2)]
    assert [(chunk.count(), count) for chunk, count in split_into_chunks(rows, 10, 10, "path")] == [(10, 10)]
    assert list(split_into_chunks(rows, 0, 4, "path")) == []

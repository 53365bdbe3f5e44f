"""Local Delta tables read without Spark hold what Spark has written."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

pytest.importorskip("deltalake")

from pipelines.workspace.local_delta import open_local

NOON = datetime(2024, 6, 1, 12, 0, 0, 123456, tzinfo=timezone.utc)


@pytest.fixture
def folder(spark, tmp_path):
    folder = str(tmp_path / "work space é" / "table")
    first = spark.createDataFrame([("a", 1, NOON), ("b", 2, None)], "name string, size long, at timestamp")
    first.coalesce(1).write.format("delta").save(folder)
    second = spark.createDataFrame([("c", 3, None, "new")], "name string, size long, at timestamp, kind string")
    second.coalesce(1).write.format("delta").mode("append").option("mergeSchema", "true").save(folder)
    return folder


def test_columns_are_read_from_all_files_and_missing_ones_are_null(folder):
    table = open_local(folder)
    assert table.version == 1 and len(table.files) == 2
    rows = sorted(table.read(["name", "at", "kind"]).to_pylist(), key=lambda row: row["name"])
    assert rows == [
        {"name": "a", "at": NOON, "kind": None},
        {"name": "b", "at": None, "kind": None},
        {"name": "c", "at": None, "kind": "new"},
    ]
    assert table.read(["name"], {"kind": "new"}).to_pylist() == [{"name": "c"}]


def test_each_row_is_located_in_its_file(folder):
    import pyarrow.parquet as pq

    table = open_local(folder)
    files, numbers = table.locate()
    names = table.read(["name"])["name"].to_pylist()
    found = [
        pq.read_table(table.files[file])["name"][number].as_py() for file, number in zip(files, numbers, strict=True)
    ]
    assert found == names and sorted(numbers.tolist()) == [0, 0, 1]


def test_deleted_rows_and_old_files_are_not_read(spark, folder):
    spark.sql(f"DELETE FROM delta.`{folder}` WHERE name = 'a'")
    assert sorted(open_local(folder).read(["name"])["name"].to_pylist()) == ["b", "c"]


def test_deletion_vectors_need_spark(spark, folder):
    spark.sql(f"ALTER TABLE delta.`{folder}` SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    with pytest.raises(NotImplementedError, match="needs a reader of version 3"):
        open_local(folder)


def test_a_folder_whose_name_deltalake_misreads_needs_spark(tmp_path):
    for name in ("a%20b", "a b"):
        (tmp_path / name / "_delta_log").mkdir(parents=True)
    with pytest.raises(NotImplementedError, match="contains %"):
        open_local(str(tmp_path / "a%20b"))


def test_a_table_that_was_never_written(tmp_path):
    assert open_local(str(tmp_path / "table")) is None

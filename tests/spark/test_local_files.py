"""Local files of rows that Spark computes: whole, in order, and never half-written."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from pipelines.spark import local_files
from pipelines.spark.local_files import escape_formulas, write_csv, write_lines, write_parquet
from pipelines.spark.runtime import sql_conf


def test_files_are_whole_in_order_and_of_many_partitions(spark, tmp_path, monkeypatch):
    monkeypatch.setattr(local_files, "MAX_PARTITION_BYTES", 5_000)
    rows = spark.range(0, 5000, 1, 3).select(F.col("id"), F.format_string("%05d é", "id").alias("line"))
    with sql_conf(spark, spark__sql__execution__arrow__maxRecordsPerBatch=100):
        assert write_lines(rows, tmp_path / "a.json", "[", "]", ",\n") == 5000
        assert write_parquet(rows, tmp_path / "a.parquet") == 5000
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "[" + ",\n".join(f"{i:05} é" for i in range(5000)) + "]"
    assert pq.read_table(tmp_path / "a.parquet")["id"].to_pylist() == list(range(5000))
    assert write_lines(rows.where("false"), tmp_path / "b.json", "[", "]") == 0
    assert (tmp_path / "b.json").read_text() == "[]"


def test_a_failed_write_leaves_the_old_file(spark, tmp_path):
    old = tmp_path / "a.txt"
    old.write_text("old")
    rows = spark.range(10).select(F.when(F.col("id") < 9, "x").alias("line"))
    with pytest.raises(Exception, match=r"lines of a\.txt are null"):
        write_lines(rows, old)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+x", "'+x"),
        ("-1.5e3", "-1.5e3"),
        ("-1-1", "'-1-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("'=1", "''=1"),
        ("'fox", "'fox"),
        ("a=b", "a=b"),
        (None, None),
    ],
)
def test_texts_that_a_spreadsheet_would_run_get_an_apostrophe(text, cell):
    assert escape_formulas(pa.array([text, "fox"])).to_pylist() == [cell, "fox"]


def test_csv_quotes_texts_and_leaves_null_empty(spark, tmp_path):
    rows = spark.createDataFrame(
        [('a "b"\nc', None, 1, True), ("", "x", None, None)], "a string, b string, c int, d boolean"
    )
    write_csv(rows.coalesce(1), tmp_path / "a.csv", bom=True)
    assert (tmp_path / "a.csv").read_bytes() == b'\xef\xbb\xbfa,b,c,d\n"a ""b""\nc",,1,true\n"","x",,\n'

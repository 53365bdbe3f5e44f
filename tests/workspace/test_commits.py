"""Two runs in one workspace without a lock: of two that read the same state of a table, one commits."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from pipelines.errors import PlatformError
from pipelines.schemas import FEATURES, parse_ddl
from pipelines.workspace import commits
from pipelines.workspace.commits import read_pin
from pipelines.workspace.tables import Tables

NAME = "features"
KEYS = ["content_hash", "backbone"]
REFUSED = (
    f"Another run (process {os.getpid()} on {socket.gethostname()}) wrote to the table {{}} while this run was in "
    "progress. The last commit of this run was not stored; earlier ones were. Run this again when the other has ended."
)


def features(spark: Any, *hashes: str) -> Any:
    """Return rows of features with these hashes."""
    known = [F.lit(None).cast(kind).alias(column) for column, kind in parse_ddl(FEATURES).items()]
    rows = spark.range(1).select(*known)
    return rows.withColumn("content_hash", F.explode(F.array(*map(F.lit, hashes)))).withColumn("backbone", F.lit("b"))


def hashes(tables: Tables) -> list[str]:
    return sorted(row["content_hash"] for row in tables.read(NAME).collect())


def pinned(tables: Tables, session: Any = None) -> Tables:
    """Return the tables of another run, pinned at their current state."""
    run = Tables(session or tables.spark, tables.workspace, tables.schema)
    run.pins[NAME] = read_pin(run, NAME)
    return run


def require_refused(run: Tables, *added: str) -> None:
    with pytest.raises(PlatformError) as caught:
        run.append(NAME, features(run.spark, *added))
    assert str(caught.value) == REFUSED.format(run.location(NAME))


@pytest.fixture(params=["folder", "schema"])
def either(request: pytest.FixtureRequest, spark: Any, tables: Tables) -> Iterator[Tables]:
    """Return tables by path, then by name."""
    if request.param == "folder":
        yield tables
        return
    spark.sql("CREATE DATABASE irbis_commits")
    yield Tables(spark, tables.workspace, "irbis_commits")
    spark.sql("DROP DATABASE irbis_commits CASCADE")


def test_of_two_runs_that_know_the_same_commits_one_goes_on(spark, either):
    first, second = pinned(either), pinned(either)  # there is no table yet
    first.append(NAME, features(spark, "a"))
    require_refused(second, "a")
    second, third = pinned(either), pinned(either)
    first.append(NAME, features(spark, "b"))
    first.append(NAME, features(spark, "c"))
    require_refused(second, "b")
    with pytest.raises(PlatformError, match="Another run"):
        third.upsert(NAME, features(spark, "b", "c"), KEYS)
    assert hashes(either) == ["a", "b", "c"]
    second = pinned(either)
    second.upsert(NAME, features(spark, "c", "d"), KEYS)
    require_refused(first, "d")
    second.append(NAME, features(spark, "e"))
    assert hashes(either) == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("begun", [True, False])
def test_a_commit_is_refused_that_another_overtakes_while_it_is_written(spark, tables, tmp_path, begun):
    if begun:
        tables.append(NAME, features(spark, "a"))
    slow, quick = pinned(tables, spark.newSession()), pinned(tables)
    started, may_end = tmp_path / "started", tmp_path / "may end"

    def wait(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        started.touch()
        while not may_end.exists():
            time.sleep(0.02)
        yield from batches

    rows = features(slow.spark, "b")
    waiting = rows.coalesce(1).mapInArrow(wait, rows.schema)  # one of two tasks: the other run needs one too
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(slow.append, NAME, waiting)
        while not started.exists() and not writing.done():
            time.sleep(0.02)
        quick.append(NAME, features(spark, "b"))
        may_end.touch()
        with pytest.raises(PlatformError, match="Another run"):
            writing.result()
    assert hashes(tables) == (["a", "b"] if begun else ["b"])


def test_a_table_that_another_run_begins_at_the_same_moment_is_not_written_too(spark, tables, monkeypatch):
    first, second = pinned(tables), pinned(tables)
    first.append(NAME, features(spark, "a"))
    answers, exists = iter([False]), Tables.exists  # it was not there yet when the second looked, just before it wrote
    monkeypatch.setattr(Tables, "exists", lambda *given: next(answers, True) and exists(*given))
    require_refused(second, "a")
    assert hashes(tables) == ["a"]


def test_commits_of_others_than_runs_are_none_that_a_run_must_know(spark, tables, monkeypatch):
    monkeypatch.setattr(commits, "RECENT", 2)
    tables.append(NAME, features(spark, "a"))  # as an earlier version wrote it
    first, second = pinned(tables), pinned(tables)
    first.append(NAME, features(spark, "b"))
    require_refused(second, "b")
    for number in range(3):
        spark.sql(f"ALTER TABLE {tables.sql_name(NAME)} SET TBLPROPERTIES ('irbis.test' = '{number}')")
    second = pinned(tables)
    assert second.pins == first.pins
    first.append(NAME, features(spark, "c"))
    require_refused(second, "c")
    assert hashes(tables) == ["a", "b", "c"]


def test_what_changes_nothing_is_no_conflict(spark, tables):
    first = pinned(tables)
    first.append(NAME, features(spark, "a"))
    first.append(NAME, features(spark, "x").where("content_hash = 'y'"))
    second = pinned(tables)
    first.delete_matching(NAME, features(spark, "x").select("content_hash"))
    first.delete_matching(NAME, features(spark, "a").select("content_hash"))
    require_refused(second, "c")
    assert hashes(tables) == []


def test_a_clone_has_numbers_of_its_own(spark, tables, tmp_path):
    source, clone = pinned(tables), Tables(spark, str(tmp_path / "clone"))
    source.append(NAME, features(spark, "a"))
    # A deep clone of Databricks brings the numbers of its source along, without its history.
    copied = features(spark, "a").write.format("delta").option("txnAppId", f"irbis {source.pins[NAME].table_id}")
    copied.option("txnVersion", 99).save(clone.location(NAME))
    clone = pinned(clone)
    clone.append(NAME, features(spark, "b"))
    assert hashes(clone) == ["a", "b"]

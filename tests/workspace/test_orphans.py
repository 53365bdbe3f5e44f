"""Files of a failed commit are removed; committed files stay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from pipelines import schemas
from pipelines.workspace import free_space
from pipelines.workspace.orphans import cancel_jobs, find_orphans, remove_orphans
from pipelines.workspace.tables import Tables


@pytest.fixture
def rows(spark):
    """Return one row of the table datasets."""
    columns = [F.lit(None).cast(kind).alias(name) for name, kind in schemas.parse_ddl(schemas.DATASETS).items()]
    return spark.range(1).coalesce(1).select(*columns)  # an empty file beside it no commit would name


def files(workspace: Path) -> set[str]:
    return {str(file.relative_to(workspace)) for file in (workspace / "tables").rglob("*") if file.is_file()}


def age(path: Path, seconds: int) -> None:
    os.utime(path, (path.stat().st_mtime - seconds,) * 2)


def test_only_files_of_this_run_that_no_commit_names_are_removed(tables, rows, tmp_path):
    workspace = Path(tables.workspace)
    tables.append("datasets", rows)
    table, log = workspace / "tables" / "datasets", workspace / "tables" / "datasets" / "_delta_log"
    committed, data = files(workspace), next((workspace / "tables" / "datasets").glob("part-*.parquet"))
    (workspace / ".lock").write_text(str(os.getpid()))
    age(workspace / ".lock", 600)  # the run began before its commit
    older = table / "part-00007-of-another-run.parquet"
    older.write_bytes(b"x" * 10)
    age(older, 3600)
    merging = workspace / "tables" / "labels" / "part-00000-of-a-review.parquet"  # a server may be about to commit it
    (merging.parent / "_delta_log").mkdir(parents=True)
    merging.write_bytes(b"x")
    for left in (table / "part-00000-half.parquet", table / ".part-00000-half.parquet.crc", log / ".0001.json.x.tmp"):
        left.write_bytes(b"x" * 100)
    assert remove_orphans(str(workspace), tables) == 300
    assert files(workspace) == committed | {
        "tables/datasets/part-00007-of-another-run.parquet",
        "tables/labels/part-00000-of-a-review.parquet",
    }
    assert data.is_file() and tables.read("datasets").count() == 1


def test_a_table_that_was_never_committed_goes_as_a_whole(tables, tmp_path):
    workspace = Path(tables.workspace)
    (workspace / "tables" / "images" / "_delta_log" / "_commits").mkdir(parents=True)
    (workspace / ".lock").write_text(str(os.getpid()))
    (workspace / "tables" / "images" / "part-0.parquet").write_bytes(b"x")
    assert remove_orphans(str(workspace), tables) == 1
    assert list((workspace / "tables").iterdir()) == []


def test_a_workspace_that_is_not_held_is_left_alone(tables):
    folder = Path(tables.workspace, "tables", "images", "_delta_log")
    folder.mkdir(parents=True)
    (folder.parent / "part-0.parquet").write_bytes(b"x")
    assert remove_orphans(tables.workspace, tables) == 0
    assert (folder.parent / "part-0.parquet").is_file()


def test_a_workspace_that_another_process_holds_is_left_alone(tables, rows):
    tables.append("datasets", rows)
    left = Path(tables.location("datasets"), "part-0.parquet")
    left.write_bytes(b"x")
    Path(tables.workspace, ".lock").write_text("1")  # as of a share of a sweep, beside an ingest
    age(Path(tables.workspace, ".lock"), 600)
    assert remove_orphans(tables.workspace, tables) == 0 and left.is_file()


@pytest.mark.parametrize("lost", [0, 5], ids=["the first", "one in between"])
def test_where_the_log_has_gaps_nothing_is_taken_for_an_orphan(tables, rows, lost):
    for _ in range(12):  # a checkpoint comes with the tenth
        tables.append("datasets", rows)
    table = Path(tables.location("datasets"))
    left, log = table / "part-0.parquet", table / "_delta_log"
    left.write_bytes(b"x")
    assert find_orphans(table) == [left]
    for number in range(10):
        if lost == 0 or number == lost:
            (log / f"{number:020}.json").unlink()
    found = [file for file in find_orphans(table) if file.suffix == ".parquet"]
    assert found == ([left] if lost == 0 else [])  # the checkpoint names what the first ten did
    for checkpoint in log.glob("*.checkpoint.parquet"):
        checkpoint.unlink()
    assert find_orphans(table) == []


def test_the_tasks_of_a_failed_job_are_waited_for(spark):
    waited: list[float] = []
    cancel_jobs(spark, waited.append)
    assert waited == []


def test_a_failed_removal_is_printed_and_keeps_the_original_error(tmp_path, monkeypatch, capsys):
    def refuse(workspace, tables):
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(free_space, "remove_orphans", refuse)
    with pytest.raises(ZeroDivisionError), free_space.clean_up_on_failure(Tables(None, str(tmp_path))):
        _ = 1 // 0
    expected = "irbis: leftovers of a failed commit stay until `irbis clean` ([Errno 13] Permission denied).\n"
    assert capsys.readouterr().err == expected

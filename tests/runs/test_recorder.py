"""A run leaves its log, its results and what it made in its workspace, however it ends."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path

import click
import pytest
from py4j.protocol import Py4JError
from pyspark.sql import functions as F

from pipelines import schemas
from pipelines.errors import DataError, PlatformError
from pipelines.runs import log as log_module
from pipelines.runs.history import RunHistory
from pipelines.runs.recorder import record_run
from pipelines.schemas import Failure
from pipelines.stages.result import StageResult
from pipelines.workspace.lock import workspace_lock

pytestmark = pytest.mark.process


@pytest.fixture
def recordable(make_settings, tmp_path):
    """Return settings whose run history is the test's own."""

    def make(**more):
        return make_settings({"runs.history_dir": str(tmp_path / "ledger"), **more})

    return make


def record_of(settings, word="run"):
    (folder,) = Path(settings.workspace, "runs").iterdir()
    return json.loads((folder / f"{word}.json").read_text("utf-8")), (folder / f"{word}.log").read_text("utf-8")


def test_a_run_leaves_what_it_said_and_gave(recordable, tmp_path, capsys):
    settings = recordable()
    with record_run(["run"], settings, {"train.cv_folds": 2}) as run:
        click.echo("ingest: 2 read")
        click.echo("a note", err=True)
        print("\r 50%|####", file=sys.stderr)
        run.add(StageResult("ingest", 2, 2, Counter({Failure.EMPTY: 1}), outcome="fine"))
    record, log = record_of(settings)
    assert log == "ingest: 2 read\na note\n\n" and "50%" in capsys.readouterr().err
    assert (record["state"], record["error"], record["stages"][0]["written"]) == ("succeeded", "", 2)
    assert record["stages"][0]["failures"] == {"empty": 1}
    entry = RunHistory(settings.runs.history_dir).find(None)
    assert (entry.id, entry.state, entry.outcome, entry.settings) == (
        run.id,
        "succeeded",
        "fine",
        {"train.cv_folds": 2},
    )
    assert entry.folder == str(Path(settings.workspace, "runs", run.id))


@pytest.mark.parametrize(
    ("fault", "state", "error", "said"),
    [
        (DataError(["no images", "no labels"]), "failed", "no images\nno labels", "irbis: no labels\n"),
        (ZeroDivisionError("by zero"), "failed", "ZeroDivisionError: by zero", "ZeroDivisionError: by zero\n"),
        (KeyboardInterrupt(), "stopped", "stopped", ""),
        (
            Py4JError("gone"),
            "failed",
            "Spark ended in the middle of the run (Py4JError: gone).",
            "Py4JError: gone\n",
        ),
        (
            ConnectionRefusedError("no answer"),
            "failed",
            "Spark ended in the middle of the run (ConnectionRefusedError: no answer).",
            "ConnectionRefusedError: no answer\n",
        ),
    ],
)
def test_a_run_that_ends_badly_says_how_and_raises_on(recordable, fault, state, error, said):
    settings = recordable()
    with pytest.raises(type(fault)), record_run(["train"], settings, {}):
        print("begun")
        raise fault
    record, log = record_of(settings, "train")
    assert (record["state"], record["error"], record["has_lost_spark"]) == (state, error, "Spark ended" in error)
    assert log.startswith("begun\n") and log.endswith(said)
    entry = RunHistory(settings.runs.history_dir).find(None)
    assert (entry.state, entry.outcome) == (state, error.splitlines()[0])


def test_a_run_that_was_sent_here_keeps_its_id_and_is_in_no_ledger(recordable):
    settings = recordable(**{"runs.id": "run-sent"})
    with record_run(["run"], settings, {}):
        pass
    assert Path(settings.workspace, "runs", "run-sent", "run.json").is_file()
    assert RunHistory(settings.runs.history_dir).all() == []


def test_a_cluster_keeps_no_ledger_and_without_one_a_run_goes_on(recordable, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    settings = recordable(**{"runs.history_dir": str(tmp_path / "file" / "ledger")})
    with record_run(["run"], settings, {}):
        print("work")
    assert "runs.history_dir = " in capsys.readouterr().err
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "16.4")
    with record_run(["train"], recordable(), {}):
        print("work")
    assert RunHistory(recordable().runs.history_dir).all() == [] and capsys.readouterr().err == ""


def test_the_log_can_be_read_while_the_run_goes_on(recordable, monkeypatch):
    monkeypatch.setattr(log_module, "FLUSH_SECONDS", 0.01)
    settings = recordable()
    with record_run(["run"], settings, {}) as run:
        print("first", flush=True)
        file = Path(settings.workspace, "runs", run.id, "run.log")
        for _ in range(500):
            if file.is_file():
                break
            run.log._over.wait(0.01)
        assert file.read_text() == "first\n"


def test_where_the_record_cannot_be_written_the_work_goes_on_and_it_is_said(recordable, tmp_path, capfd):
    settings = recordable()
    Path(settings.workspace).mkdir(parents=True)
    Path(settings.workspace, "runs").write_text("a file where the folder should be")
    with record_run(["run"], settings, {}):
        print("work")
    assert RunHistory(settings.runs.history_dir).find(None).state == "succeeded"
    assert capfd.readouterr().err.count("the run's record can no longer be written") == 1


def test_a_report_is_kept_with_the_run_that_made_it(spark, recordable):
    settings = recordable()
    page = Path(settings.workspace, "reports", "report.html")
    page.parent.mkdir(parents=True)
    page.write_text("<html>1", "utf-8")
    with record_run(["run"], settings, {}) as run:
        run.attach_session(spark)
        run.add(StageResult("report", 1, 1, artifacts={"report": "reports/report.html"}))
        page.write_text("<html>2", "utf-8")
    assert Path(settings.workspace, "runs", run.id, "report.html").read_text("utf-8") == "<html>1"


def test_a_failed_commit_leaves_no_file_and_what_was_committed_stays(spark, tables, recordable):
    settings = recordable()
    kinds = schemas.parse_ddl(schemas.DATASETS)
    rows = spark.createDataFrame([("a",), ("b",)], "name string")
    rows = rows.select("name", *[F.lit(None).cast(kinds[each]).alias(each) for each in kinds if each != "name"])
    folder = Path(tables.location("datasets"))
    with workspace_lock(settings.workspace):
        tables.append("datasets", rows.coalesce(1))
        before = {path for path in folder.rglob("*") if path.is_file()}
        broken = F.when(F.col("name") == "b", F.raise_error(F.lit("no camera"))).otherwise(F.col("name"))
        with pytest.raises(Exception, match="camera"), record_run(["run"], settings, {}) as run:
            run.attach_session(spark)
            tables.append("datasets", rows.repartition(2, "name").withColumn("images", broken))
        assert {path for path in folder.rglob("*") if path.is_file()} == before
        with pytest.raises(DataError), record_run(["run"], settings, {}) as run:
            run.attach_session(spark)
            (folder / "part-0.parquet").write_bytes(b"x")
            raise DataError("the source is away")
    assert {path for path in folder.rglob("*") if path.is_file()} == before
    assert tables.read("datasets").count() == 2


def test_a_full_disk_is_one_sentence_and_its_whole_course_is_in_the_log(recordable):
    settings = recordable()
    with (
        pytest.raises(PlatformError, match=re.escape(settings.workspace)) as caught,
        record_run(["run"], settings, {}),
    ):
        raise RuntimeError("job aborted\nCaused by: java.io.IOException: No space left on device")
    record, log = record_of(settings)
    assert (record["state"], record["error"]) == ("failed", str(caught.value))
    assert "Traceback" in log and log.endswith(f"irbis: {caught.value}\n")


def test_an_error_of_java_is_recorded_by_its_cause_and_knows_its_log(recordable):
    settings = recordable()
    with pytest.raises(RuntimeError) as caught, record_run(["run"], settings, {}) as run:
        raise RuntimeError("o1.save\n\tat x.Y\nCaused by: java.io.IOException: Stale file handle\n\tat x.Z")
    record, log = record_of(settings)
    assert record["error"] == "java.io.IOException: Stale file handle"
    assert "\tat x.Z" in log
    assert caught.value.record == str(Path(settings.workspace, "runs", run.id, "run.log"))

"""The workspace itself in a container: tables, models, plots and the report, through wasb on real Azurite."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pytest

from pipelines.runs.package import to_cli_args
from tests.azurite import ACCOUNT, KEY

from ..stages.conftest import survey_images
from .conftest import CHEAP, closing_lines

WORKSPACE = f"az://{ACCOUNT}/surveys/work space"
SPARK_WORKSPACE = f"wasb://surveys@{ACCOUNT}.blob.core.windows.net/work space"
# The command, which waits, once it knows what is to be done, until another run or the test does so too.
WAITING = """
import contextlib, pathlib, sys, time
from pipelines.cli.app import main
from pipelines.workspace import hold as holding; from pipelines.stages.ingest import stage as ingest

def pin_and_wait(*given):
    pin_table(*given)
    pathlib.Path(f"knows-{sys.argv.pop()}").touch()
    while len(list(pathlib.Path().glob("knows-*"))) < 2:
        time.sleep(0.02)

pin_table, ingest.pin_table = ingest.pin_table, pin_and_wait
"""
UNLOCKED = "holding.workspace_lease = lambda settings: contextlib.nullcontext()\n"
MAIN = "main(sys.argv[1:-1])"
QUICK = to_cli_args({**CHEAP, "sources.station": "folder:1"})


def blobs_of(container):
    blobs = container.list_blobs("work space/")
    return {blob.name.removeprefix("work space/"): blob.etag for blob in blobs if not blob.name.endswith("/.lock")}


@pytest.mark.slow
def test_a_workspace_in_a_container_holds_all_that_a_folder_does(surveys, irbis, tmp_path):
    for name, content in survey_images().items():
        surveys.upload_blob(f"2024/{name}", content)
    tracking = f"--set=tracking.uri=sqlite:///{tmp_path}/mlflow.db"
    # The source is the whole container, and so holds the workspace with its plots.
    words = ["--images", f"az://{ACCOUNT}/surveys", "--workspace", WORKSPACE, tracking, *QUICK]
    key = {"IRBIS_AZURE__ACCOUNT_KEY": KEY}
    lines = closing_lines(irbis("run", *words, env=key).stdout)
    assert "ingest: 180 read, 180 written, 0 failed" in lines["ingest"]
    assert "score: 180 read, 180 written, 0 failed" in lines["score"]
    assert lines["report"].endswith(f"; {SPARK_WORKSPACE}/reports/report.html")
    stored = blobs_of(surveys)
    assert {"tables/images/_delta_log/00000000000000000000.json", "reports/report.html"} <= set(stored)
    ends = {name.rpartition("/")[2] for name in stored if name.startswith("artifacts/")}
    assert {"MLmodel", "confusion.png", "model_card.md", "evaluation.json"} <= ends
    page = surveys.download_blob("work space/reports/report.html").readall()
    assert page.startswith(b"<!DOCTYPE html>") and page.rstrip().endswith(b"-->")
    assert not [name for name in stored if KEY.encode() in surveys.download_blob(f"work space/{name}").readall()]

    again = closing_lines(irbis("run", *words, env=key).stdout)
    assert all(f"{stage}: 0 read, 0 written, 0 failed" in line for stage, line in again.items()), again
    added = blobs_of(surveys).items() - stored.items()
    assert stored.items() <= blobs_of(surveys).items()
    assert {name.split("/")[0] for name, _ in added} == {"runs"}, "each run leaves its record, and no more"
    assert not list(tmp_path.glob("irbis-workspace*")) and not (tmp_path / "mlruns").exists()


def test_a_workspace_that_cannot_be_entered_is_told_of(surveys, irbis, tmp_path):
    def told(workspace, *words, **env):
        err = irbis("ingest", "--images", str(tmp_path), "--workspace", workspace, *words, code=2, env=env).stderr
        assert err.count("\n") == 1
        return err

    assert "There is no container elsewhere" in told(f"az://{ACCOUNT}/elsewhere/w")
    cloud = "abfss://c@irbis0nowhere.dfs.core.windows.net/w"
    assert "cannot write there with a token of DefaultAzureCredential. Set azure.account_key" in told(cloud)
    assert "cannot write there with a SAS" in told(cloud, IRBIS_AZURE__SAS="sv=1&sig=aGlkZGVu")
    assert "no such host" in told(cloud, IRBIS_AZURE__ACCOUNT_KEY=KEY)
    assert "it contains a SAS" in told("https://irbis1.blob.core.windows.net/c/w?sig=aGlkZGVu")
    err = irbis("report", "--workspace", WORKSPACE, code=2).stderr
    assert err.startswith(f"irbis: tracking.uri is not set, and {SPARK_WORKSPACE} cannot hold an SQLite database")


def start(folder, script, *words):
    env = {**os.environ, "IRBIS_AZURE__ACCOUNT_KEY": KEY}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", script, *words], cwd=folder, env=env, stdout=pipe, stderr=pipe, text=True
    )


def ends_of(*processes):
    """Return exit code, closing line and output of each; those that succeeded come first."""
    ends = []
    for process in processes:
        out, err = process.communicate(timeout=600)
        ends.append((process.returncode, closing_lines(out).get("ingest", ""), err))
    return sorted(ends)


def draw(folder):
    for name, content in list(survey_images().items())[:6]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return ["ingest", "--images", str(folder), "--workspace", WORKSPACE, "--set=spark.master=local[1]"]


def test_a_second_run_is_refused_while_the_first_one_works_in_a_container(surveys, irbis, tmp_path):
    words = draw(tmp_path / "survey")
    first = start(tmp_path, WAITING + MAIN, *words, "1")
    while first.poll() is None and not (tmp_path / "knows-1").exists():
        time.sleep(0.05)
    err = irbis(*words, code=2, env={"IRBIS_AZURE__ACCOUNT_KEY": KEY}).stderr
    holder = f"irbis: Process {first.pid} on {socket.gethostname()} has been working in {SPARK_WORKSPACE} since 20"
    assert err.startswith(holder) and err.count("\n") == 1
    (tmp_path / "knows-2").touch()
    ((code, closing, _),) = ends_of(first)
    assert (code, "ingest: 6 read, 6 written, 0 failed" in closing) == (0, True)
    assert surveys.get_blob_client("work space/.lock").get_blob_properties().lease.state == "available"


def test_of_two_runs_without_a_lock_one_stores_the_images(surveys, tmp_path):
    words = draw(tmp_path / "survey")
    runs = [start(tmp_path, WAITING + UNLOCKED + MAIN, *words, str(number)) for number in (1, 2)]
    (code, closing, error), (other_code, nothing, other_error) = ends_of(*runs)
    assert (code, other_code, nothing) == (0, 2, ""), error + other_error
    assert "ingest: 6 read, 6 written, 0 failed" in closing
    assert f"on {socket.gethostname()}) wrote to the table {SPARK_WORKSPACE}/tables/images while" in other_error
    log = "tables/images/_delta_log/0"
    assert len([name for name in blobs_of(surveys) if name.startswith(log) and name.endswith(".json")]) == 1

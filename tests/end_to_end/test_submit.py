"""Runs are sent to a workspace on this machine, whose cluster truly runs them: followed, lost, taken up, repeated."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

import pytest

import pipelines
from pipelines.runs.package import to_cli_args

from ..databricks_server import databricks_workspace
from ..stages.conftest import jpeg, survey_images
from .conftest import CHEAP, COMMAND, closing_lines

VOLUME = "/Volumes/main/irbis/files"
WEIGHTS = Path(pipelines.__file__).parent / "_data/weights/irbis_tiny.safetensors"  # as a file of one's own


@pytest.fixture
def workspace(tmp_path):
    with databricks_workspace(tmp_path / "cloud") as running:
        yield running


@pytest.fixture
def words(workspace, monkeypatch):
    """Return the settings of every command: the workspace in the volume, and an existing cluster."""
    for name, value in workspace.login.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("IRBIS_RUNS__POLL_SECONDS", "0.5")
    return ["--workspace", f"{VOLUME}/survey", "--set", "databricks.cluster_id=1122-000000-tests"]


def test_a_run_is_followed_lost_taken_up_fetched_and_repeated(workspace, words, irbis, tmp_path):
    for name, content in survey_images().items():
        image = workspace.place(f"{VOLUME}/images/{name}")
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(content)
    cheap = to_cli_args({**CHEAP, "report.gallery_size": 2})
    asked = [*words, *cheap, "--images", f"{VOLUME}/images", "--weights", WEIGHTS]

    # Killed as soon as it has shown that the first stage is done.
    client = subprocess.Popen(
        [*COMMAND, "submit", "run", "--on", "databricks", "--follow", *map(str, asked)],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert any(line.startswith("ingest: 180 read, 180 written, 0 failed") for line in client.stdout)
    client.send_signal(signal.SIGKILL)
    client.wait()
    assert workspace.runs[1].life == "RUNNING"

    followed = irbis("logs", "--follow")
    lines = closing_lines(followed.stdout)
    assert list(lines) == ["ingest", "featurize", "train", "score", "report"]
    assert "irbis/1 is champion: the first version" in lines["train"]
    assert lines["score"].startswith("score: 180 read, 180 written")
    assert "run SUCCESS" in followed.stderr
    (run,) = json.loads(irbis("runs", "--json").stdout)
    assert (run["backend"], run["state"], run["command"]) == ("databricks", "succeeded", ["run"])

    irbis("outputs", "--download", "got")
    assert "<html" in (tmp_path / "got" / "report.html").read_text("utf-8")
    assert (tmp_path / "got" / "model" / "MLmodel").is_file()
    record = json.loads((tmp_path / "got" / "run.json").read_text("utf-8"))
    assert record["code"]["version"] and [stage["written"] for stage in record["stages"]] == [180, 180, 1, 180, 1]

    again = irbis("repeat", "--follow")
    assert again.stdout.splitlines()[-1] == "Nothing to do: every stage was up to date."
    assert [run.result for run in workspace.runs.values()] == ["SUCCESS", "SUCCESS"]
    uploads = [call for call in workspace.calls if call.startswith("PUT /api/2.0/fs/files")]
    assert len(uploads) == 3  # job file, wheel and weights, once

    irbis("submit", "explain", "--all", "--label", "striped", "--on", "databricks", *asked)
    (task,) = workspace.runs[3].tasks
    assert task["spark_python_task"]["parameters"][:3] == ["--all", "--label", "striped"]


def test_a_run_that_fails_says_why_in_its_own_words(workspace, words, irbis):
    failed = irbis("submit", "train", "--on", "databricks", "--follow", *words, code=1)
    assert "irbis: There is no table features in" in failed.stdout
    assert "failed: There is no table features in" in failed.stderr.splitlines()[-1]
    listed = irbis("runs").stdout.splitlines()[1]
    assert "databricks" in listed and "failed" in listed


@pytest.mark.slow
@pytest.mark.skipif(find_spec("papermill") is None, reason="needs papermill")
def test_a_notebook_runs_there_and_its_executed_copy_comes_to_the_run(workspace, words, irbis, tmp_path):
    asked = [
        "-p",
        "settings=train.cv_folds=2 train.bootstrap_resamples=100 train.reg_params=0.1",
        "--follow",
        *words[:2],
    ]
    cluster = {"IRBIS_DATABRICKS__CLUSTER_ID": "1122-000000-tests"}
    done = irbis("notebook", "run", "walkthrough", "--on", "databricks", *asked, env=cluster)
    (noted,) = json.loads(irbis("runs", "--json").stdout)
    assert noted["settings"]["databricks.cluster_id"] == "1122-000000-tests"
    assert "notebook SUCCESS" in done.stderr and list(workspace.notebooks) == [
        f"/Users/tests@example.org/irbis/{workspace.runs[1].name.removeprefix('irbis ')}"
    ]
    irbis("outputs", "--download", "got")
    page = (tmp_path / "got" / "01_walkthrough.html").read_text("utf-8")
    assert "is champion: the first version" in page and "data:image/jpeg" in page
    assert irbis("runs").stdout.splitlines()[1].split()[1:5] == [
        "notebook",
        "01_walkthrough",
        "databricks",
        "succeeded",
    ]
    irbis("repeat")  # on the same cluster, though nothing of here names it any more
    (task,) = workspace.runs[2].tasks
    assert task["existing_cluster_id"] == "1122-000000-tests"
    assert task["notebook_task"]["base_parameters"]["settings"].startswith(
        "train.cv_folds=2 train.bootstrap_resamples=100"
    )
    irbis("cancel"), irbis("logs", "--follow", code=1)


def test_a_run_that_is_cancelled_ends_and_what_was_committed_stays(workspace, words, irbis):
    image = workspace.place(f"{VOLUME}/images/plain/a.jpg")
    image.parent.mkdir(parents=True)
    image.write_bytes(jpeg(100, 1, datetime(2025, 1, 1)))
    irbis("submit", "run", "--on", "databricks", "--images", f"{VOLUME}/images", *words)
    while not (log := workspace.place(f"{VOLUME}/survey/runs")).exists() or "ingest: 1 read" not in _text(log):
        assert workspace.runs[1].result is None, workspace.runs[1].outputs
        time.sleep(0.2)
    assert "cancellation requested" in irbis("cancel").stdout
    assert irbis("logs", "--follow", code=1).stderr.splitlines()[-1].endswith("stopped: CANCELED")
    assert "has already ended: stopped" in irbis("cancel").stdout
    assert any(workspace.place(f"{VOLUME}/survey/tables/images").glob("*.parquet"))


def _text(folder):
    return "".join(file.read_text() for file in folder.rglob("*.log"))

"""Files that a run names, labels, weights or a sweep's plan, are where its driver looks for them."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from pathlib import Path

import pytest

from pipelines.errors import DataError
from pipelines.runs.backends.base import RunRequest
from pipelines.runs.backends.registry import get_backend
from pipelines.runs.backends.workspace_files import WorkspaceFiles
from pipelines.runs.history import RUNNING, RunHistory, RunRecord, utc_now
from pipelines.runs.submit import _local_files, submit_run

from ..databricks_server import databricks_workspace
from ..livy_server import PASSWORD, Container, livy_server

pytestmark = pytest.mark.process

IN_CLUSTER = {"spark.submit.deployMode": "cluster"}
NOTE = '#!/bin/sh\nprintf "%s\\n" "$@" > "$SPARK_HOME/part"; mv "$SPARK_HOME/part" "$SPARK_HOME/told"\n'
CLOUD = "az://account/irbis/survey"


@pytest.fixture
def plan(tmp_path):
    file = tmp_path / "plan.yaml"
    file.write_text("space: {train.cv_folds: [2, 3]}")
    return file


@pytest.fixture
def job(tmp_path, plan):
    (tmp_path / "net.safetensors").write_bytes(b"weights")
    settings = {"featurize.weights": str(tmp_path / "net.safetensors"), "sources.labels": "none", "workspace": CLOUD}
    return RunRequest("sweep-1", ("sweep", str(plan)), settings)


@pytest.fixture
def sent(job, tmp_path, make_settings):
    """Return a function that submits the job and returns its record."""

    def make(where, files, workspace, overrides):
        place = get_backend(where, make_settings({"runs.history_dir": str(tmp_path / "ledger"), **overrides}), files)
        entry = RunRecord(job.id, job.words, where, job.settings, workspace, "/", utc_now())
        return submit_run(entry, job, place, RunHistory(str(tmp_path / "ledger")))

    return make


def named(words):
    """Return the plan that the job file receives, and its weights."""
    (weights,) = [word.partition("=")[2] for word in words if word.startswith("featurize.weights=")]
    return words[0], weights


def test_a_package_of_several_files_is_refused_because_only_one_would_be_sent(job, tmp_path):
    resources = [{"name": table, "path": f"{table}.csv"} for table in ("media", "observations")]
    (tmp_path / "datapackage.json").write_text(json.dumps({"resources": resources}))
    (tmp_path / "media.csv").write_text("mediaID,filePath")
    job.settings["sources.labels"] = str(tmp_path / "datapackage.json")
    entry = RunRecord(job.id, job.words, "databricks", job.settings, CLOUD, "/", utc_now())
    with pytest.raises(DataError, match=r"is a Camtrap DP package of several files\. Submit a zip archive"):
        submit_run(entry, job, None, RunHistory(str(tmp_path / "ledger")))


def test_a_detector_of_several_files_is_refused_and_one_of_one_file_is_sent(job, tmp_path):
    detector = tmp_path / "detector.onnx"
    detector.write_bytes(b"network")
    request = RunRequest("detect-1", ("detect",), {"detect.detector": str(detector)})
    assert _local_files(request) == {str(detector): detector}
    (tmp_path / "detector.onnx.data").write_bytes(b"weights")
    with pytest.raises(DataError, match=r"is a detector of several files.*Submit an ONNX file that holds its weights"):
        _local_files(request)


def test_livy_has_yarn_lay_them_beside_a_driver_that_cannot_open_a_container(sent, job, plan):
    with livy_server() as server:
        container = Container()
        entry = sent("hdinsight", container, CLOUD, {"hdinsight.url": server.url, "hdinsight.password": PASSWORD})
        told = server.batches[0].told
    assert named(told["args"]) == ("plan.yaml", "net.safetensors")
    assert [container[address] for address in told["files"]] == [plan.read_bytes(), b"weights"]
    assert all(address.startswith(f"{CLOUD}/sent/") for address in told["files"])
    assert told["file"].endswith("/sweep.py") and told["pyFiles"][0] in container
    assert (entry.state, entry.command, entry.settings) == (RUNNING, job.words, job.settings)  # as they are here


def test_livy_names_them_as_they_are_in_a_folder_that_both_see(sent, plan, tmp_path, make_settings):
    with livy_server() as server:
        files = WorkspaceFiles(make_settings())
        sent("hdinsight", files, str(tmp_path), {"hdinsight.url": server.url, "hdinsight.password": PASSWORD})
        told = server.batches[0].told
    assert "files" not in told
    assert [Path(name).read_bytes() for name in named(told["args"])] == [plan.read_bytes(), b"weights"]


@pytest.mark.parametrize(
    ("master", "conf", "files", "names"),
    [
        ("yarn", {}, None, "{0}/plan.yaml {0}/net.safetensors"),
        ("spark://host:7077", {}, None, "{0}/plan.yaml {0}/net.safetensors"),
        ("yarn", IN_CLUSTER, "{0}/plan.yaml,{0}/net.safetensors", "plan.yaml net.safetensors"),
    ],
)  # fmt: skip
def test_spark_submit_takes_them_along_to_a_driver_elsewhere(sent, spark_submit, tmp_path, master, conf, files, names):
    told = spark_submit(sent, master, CLOUD, conf)
    assert (told.get("--files"), " ".join(named(told["words"]))) == (
        files and files.format(tmp_path),
        names.format(tmp_path),
    )


def test_a_pod_gets_them_from_the_workspace(sent, spark_submit, plan, tmp_path):
    conf = {"spark.kubernetes.container.image": "registry/irbis:1"}
    container = Container()
    told = spark_submit(sent, "k8s://https://host:6443", CLOUD, conf, container)
    assert named(told["words"]) == ("plan.yaml", "net.safetensors")
    assert [container[address] for address in told["--files"].split(",")] == [plan.read_bytes(), b"weights"]


def test_databricks_reads_them_in_the_volume(sent, plan, tmp_path, monkeypatch):
    with databricks_workspace(tmp_path / "cloud") as workspace:
        workspace.is_idle = True
        for name, value in workspace.login.items():
            monkeypatch.setenv(name, value)
        sent("databricks", None, "/Volumes/main/irbis/files/survey", {"databricks.cluster_id": "1122-000000-tests"})
        words = workspace.runs[1].tasks[0]["spark_python_task"]["parameters"]
        assert [workspace.place(name).read_bytes() for name in named(words)] == [plan.read_bytes(), b"weights"]


@pytest.fixture
def spark_submit(tmp_path, monkeypatch):
    """Return a function that submits by a spark-submit which only writes down its arguments, and reads those."""

    def make(sent, master, workspace, conf, files=None):
        home = tmp_path / "spark"
        (home / "bin").mkdir(parents=True)
        script = home / "bin" / "spark-submit"
        script.write_text(NOTE)
        script.chmod(0o755)
        monkeypatch.setenv("SPARK_HOME", str(home))
        chosen = {f"spark.conf.{key}": value for key, value in conf.items()}
        sent(master, Container() if files is None else files, workspace, chosen)
        while not (home / "told").exists():
            time.sleep(0.05)
        told = (home / "told").read_text().splitlines()
        script_at = next(i for i, word in enumerate(told) if word.endswith("/sweep.py"))
        return {**dict(pairwise(told[:script_at])), "words": told[script_at + 1 :]}

    return make

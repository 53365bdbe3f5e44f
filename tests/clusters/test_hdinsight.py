"""Runs through a real Livy 0.5 over a real YARN in cluster mode: followed, lost, taken up, cancelled, repeated."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from pipelines.config.loader import load_settings
from pipelines.runs.backends.registry import get_backend
from pipelines.runs.backends.workspace_files import WorkspaceFiles

from ..end_to_end.conftest import COMMAND, closing_lines
from ..same_tables import assert_same_tables

pytestmark = [pytest.mark.clusters, pytest.mark.timeout(1200)]


def wait_for(happens, seconds=180):
    limit = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < limit
        time.sleep(0.3)


def sent(folder, *words):
    """Return the process of `irbis submit`, which follows the run."""
    command = [*COMMAND, "submit", *map(str, words)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def logged(words):
    """Return the logs of the runs in the workspace so far."""
    return "".join(file.read_text("utf-8") for file in Path(words[1], "runs").rglob("*.log"))


def test_a_run_is_followed_lost_taken_up_fetched_and_repeated(yarn, words, images, irbis, weights, tmp_path):
    asked = [*words, "--images", images, "--backbone", "squeezenet1_1", "--weights", weights]
    client = sent(tmp_path, "run", "--on", "hdinsight", "--follow", *asked)
    assert any(line.startswith("ingest: 300 read, 300 written, 0 failed") for line in client.stdout)
    client.send_signal(signal.SIGKILL)
    client.wait()

    followed = irbis("logs", "--follow")
    lines = closing_lines(followed.stdout)
    assert list(lines) == ["ingest", "featurize", "train", "score", "report"]
    assert "irbis/1 is champion: the first version" in lines["train"]
    assert lines["score"].startswith("score: 300 read, 300 written")
    assert "batch success" in followed.stderr
    (run,) = json.loads(irbis("runs", "--json").stdout)
    assert (run["backend"], run["state"], run["command"]) == ("hdinsight", "succeeded", ["run"])

    irbis("outputs", "--download", "got")
    assert "<html" in (tmp_path / "got" / "report.html").read_text("utf-8")
    assert (tmp_path / "got" / "model" / "MLmodel").is_file()
    record = json.loads((tmp_path / "got" / "run.json").read_text("utf-8"))
    assert [stage["written"] for stage in record["stages"]] == [300, 300, 1, 300, 1]
    assert "application_" in (tmp_path / "got" / "livy.txt").read_text()

    settings = load_settings(None, {"hdinsight.url": yarn.url})
    found = get_backend("hdinsight", settings, WorkspaceFiles(settings)).find(run["id"])  # 0.5 tells no names
    assert found["batch"] == run["handle"]["batch"]

    again = irbis("repeat", "--follow")
    assert again.stdout.splitlines()[-1].startswith("Nothing to do")

    plan = tmp_path / "penalties.yaml"
    plan.write_text("{method: grid, space: {train.reg_params: [0.1, 1.0]}}")
    swept = irbis("submit", "sweep", plan, "--on", "hdinsight", "--follow", *asked)
    assert ", 2 written, 0 failed" in closing_lines(swept.stdout)["sweep"]


def test_a_run_that_is_cancelled_ends_in_yarn_too(yarn, words, images, irbis):
    irbis("submit", "run", "--on", "hdinsight", "--images", images, *words)
    wait_for(lambda: "ingest: 300 read" in logged(words))
    assert "cancellation requested" in irbis("cancel").stdout
    assert "stopped: cancelled" in irbis("logs", "--follow", code=1).stderr.splitlines()[-1]
    assert "has already ended: stopped" in irbis("cancel").stdout
    wait_for(lambda: all(app["state"] in ("KILLED", "FINISHED") for app in applications(yarn)))
    assert applications(yarn)[-1]["state"] == "KILLED"
    assert any(Path(words[1], "tables", "images").glob("*.parquet"))


def test_an_executor_that_is_killed_in_the_middle_changes_nothing(words, few_images, irbis, weights, tmp_path):
    irbis("submit", "ingest", "--on", "hdinsight", "--follow", "--images", few_images, *words)
    asked = [*words, "--backbone", "squeezenet1_1", "--weights", weights]
    client = sent(tmp_path, "featurize", "--on", "hdinsight", "--follow", *asked)
    wait_for(lambda: workers_of_executors())  # Python is at work, below the executor
    time.sleep(2)
    for executor in executors():
        os.kill(executor, signal.SIGKILL)
    said, _ = client.communicate(timeout=600)
    assert client.returncode == 0 and "featurize: 120 read, 120 written, 0 failed" in said


def test_executors_that_are_killed_at_random_five_times_leave_the_tables_of_an_undisturbed_run(
    words, few_images, irbis, weights, spark, tmp_path
):
    asked = ["--on", "hdinsight", "--follow", "--images", few_images, "--weights", weights, *words[2:]]
    asked += ["--backbone", "squeezenet1_1"]
    shared = Path(words[1])
    irbis("submit", "run", *asked, "--workspace", shared / "undisturbed")
    chance, killed, runs = random.Random(11), 0, 0
    while killed < 5:  # a fast machine may be through with a run before it is time for the fifth
        disturbed, runs = shared / f"disturbed{runs}", runs + 1
        client = sent(tmp_path, "run", *asked, "--workspace", disturbed)
        while killed < 5 and client.poll() is None:
            time.sleep(chance.uniform(3, 15))
            for executor in executors()[:1]:
                os.kill(executor, signal.SIGKILL)
                killed += 1
        said, told = client.communicate(timeout=900)
        assert client.returncode == 0, told[-4000:]
        assert "featurize: 120 read, 120 written, 0 failed" in said
        assert_same_tables(spark, shared / "undisturbed", disturbed)
    assert runs < 4


def test_a_livy_that_restarts_in_the_middle_does_not_end_the_run(yarn, words, images, irbis, tmp_path):
    client = sent(tmp_path, "ingest", "--on", "hdinsight", "--follow", "--images", images, *words)
    for line in client.stderr:
        if "batch running" in line:
            break
    yarn.stop_livy()
    time.sleep(3)
    yarn.start_livy()
    said, told = client.communicate(timeout=300)
    assert client.returncode == 0 and "ingest: 300 read, 300 written" in said
    assert "Reconnecting" in told


def test_a_batch_that_dies_before_it_can_say_why_is_told_by_livy(words, images, irbis, monkeypatch):
    monkeypatch.setenv("IRBIS_HDINSIGHT__ARCHIVE", str(images / "no-such-environment.tar.gz"))
    failed = irbis("submit", "ingest", "--on", "hdinsight", "--follow", "--images", images, *words, code=1)
    assert "no-such-environment.tar.gz" in failed.stderr.rpartition(" failed: ")[2]


def test_a_source_that_is_not_there_is_told_by_the_run_and_it_is_not_tried_twice(yarn, words, irbis):
    before = len(applications(yarn))
    failed = irbis("submit", "ingest", "--on", "hdinsight", "--follow", "--images", "/no/such/folder", *words, code=1)
    assert "/no/such/folder" in failed.stderr.splitlines()[-1]
    assert len(applications(yarn)) == before + 1
    assert len(list((yarn.folder / "logs").glob(f"{applications(yarn)[-1]['id']}/container_*_02_*"))) == 0


def test_livy_refuses_what_does_not_say_who_asks(yarn):
    browser = build_opener(ProxyHandler({}))
    request = Request(f"{yarn.url}/batches", b"{}", {"Content-Type": "application/json"}, method="POST")
    with pytest.raises(HTTPError, match="400"):
        browser.open(request)


def applications(yarn):
    browser = build_opener(ProxyHandler({}))
    found = json.loads(browser.open(f"http://127.0.0.1:{yarn.web}/ws/v1/cluster/apps").read())
    return sorted((found["apps"] or {}).get("app", []), key=lambda app: app["id"])


def executors():
    """Return the processes of executors on this machine's YARN."""
    return [
        int(pid)
        for pid, _, command in processes()
        if "YarnCoarseGrainedExecutorBackend --" in command and "bash -c" not in command
    ]


def workers_of_executors():
    parents = set(map(str, executors()))
    return [pid for pid, parent, command in processes() if parent in parents and "pyspark.daemon" in command]


def processes():
    listed = subprocess.run(["ps", "-ewwo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    return [line.split(None, 2) for line in listed.splitlines() if len(line.split(None, 2)) == 3]

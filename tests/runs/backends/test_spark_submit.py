"""Runs by spark-submit: a process of this machine that outlives the command, whatever becomes of it."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from pipelines.errors import AccessError, DataError, SettingsError
from pipelines.processes import Process
from pipelines.runs.backends import spark_submit
from pipelines.runs.backends.base import RunRequest
from pipelines.runs.backends.registry import get_backend
from pipelines.runs.follow import follow, get_handle, refresh
from pipelines.runs.history import FAILED, PENDING, RUNNING, STOPPED, SUCCEEDED, RunHistory, RunRecord, utc_now

from .conftest import IN_CLUSTER, JOB, ended

pytestmark = pytest.mark.process


def entry_of(handle, home, **more):
    return RunRecord("run-1", ("run",), "yarn", {}, home, "/", utc_now(), handle=handle, **more)


def test_spark_submit_is_told_master_settings_code_job_file_and_words(place_of, home, tmp_path):
    place = place_of("", "spark://host:7077", spark__submit__deployMode="client", spark__executor__memory="3g")
    handle = place.submit(JOB, home)
    assert ended(place, handle).state == SUCCEEDED
    told = (tmp_path / "spark" / "told").read_text().splitlines()
    assert told[:2] == ["--master", "spark://host:7077"]
    conf = dict(each.split("=", 1) for option, each in pairwise(told) if option == "--conf")
    assert (conf["spark.submit.deployMode"], conf["spark.executor.memory"]) == ("client", "3g")
    assert conf["spark.jars.packages"].startswith("io.delta:delta-") and conf["spark.yarn.maxAppAttempts"] == "1"
    code, script, *words = told[told.index("--py-files") + 1 :]
    assert Path(code).name.startswith("irbis-") and Path(code).suffix == ".zip"
    assert Path(script).read_text("utf-8").startswith('"""Job: all five stages.')
    assert words == ["--set", "train.cv_folds=2", "--set", "runs.id=run-1"]


def test_submitted_twice_it_is_started_once_and_found_by_its_id(place_of, home, tmp_path):
    place = place_of('echo once >> "$SPARK_HOME/starts"')
    first = place.submit(JOB, home)
    assert ended(place, first).state == SUCCEEDED
    pid = (Path(first["folder"]) / "pid").read_text()
    assert place.submit(JOB, home) == first and (Path(first["folder"]) / "pid").read_text() == pid
    assert (tmp_path / "spark" / "starts").read_text() == "once\n"
    assert get_handle(entry_of({}, home, state=PENDING), place_of()) == first and place.find("run-2") is None


def test_a_run_goes_on_when_the_process_that_sent_it_is_gone(place_of, home, tmp_path):
    place = place_of('while [ ! -e "$SPARK_HOME/go" ]; do sleep 0.1; done')
    handle = place.submit(JOB, home)
    again = place_of('while [ ! -e "$SPARK_HOME/go" ]; do sleep 0.1; done')
    assert again.get_status(handle).state == RUNNING
    (tmp_path / "spark" / "go").touch()
    assert ended(again, handle).detail == "exit code 0"


def test_a_run_that_fails_says_why_in_the_words_of_spark(place_of, home, tmp_path):
    place = place_of("echo 'Exception in thread main: no such master' >&2; exit 3")
    handle, ledger = place.submit(JOB, home), RunHistory(str(tmp_path / "ledger"))
    found = follow(entry_of(handle, home), place, ledger, 0.05, print, print)
    assert (found.state, found.outcome) == (FAILED, "Exception in thread main: no such master")
    assert "all is well" in Path(home, "runs", "run-1", "spark-submit.txt").read_text()


def test_a_run_that_says_itself_why_it_failed_is_believed(place_of, home, tmp_path):
    record = Path(home, "runs", "run-1", "run.json")
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"state": "failed", "stages": [], "error": "no table", "ended": "2026"}))
    place = place_of("exit 2")
    handle = place.submit(JOB, home)
    assert ended(place, handle).state == FAILED
    assert refresh(entry_of(handle, home), place, RunHistory(str(tmp_path / "ledger"))).outcome == "no table"


def test_a_run_that_is_cancelled_ends_with_all_its_processes(place_of, home, tmp_path):
    place = place_of('sleep 60 & echo $! > "$SPARK_HOME/child"; wait')
    handle = place.submit(JOB, home)
    child = tmp_path / "spark" / "child"
    while not child.exists() or not child.read_text().strip():
        time.sleep(0.05)
    place.cancel(handle)
    assert ended(place, handle).state == STOPPED
    pid = child.read_text().strip()
    time.sleep(0.2)
    state = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True).stdout.strip()
    assert state[:1] in ("", "Z")


def test_another_process_with_the_id_of_spark_submit_is_not_ended(place_of, home):
    place = place_of("exit 0")
    handle = place.submit(JOB, home)
    assert ended(place, handle).state == SUCCEEDED
    folder = Path(handle["folder"])
    (folder / "code").unlink()
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        now = Process.of(other.pid)
        (folder / "pid").write_text(json.dumps(replace(now, started_at="1").as_dict()))
        assert place.get_status(handle).state == FAILED
        place.cancel(handle)
        for noted, reason in (
            (str(other.pid), "process id"),
            (json.dumps(replace(now, host="elsewhere").as_dict()), "elsewhere"),
            ("no number", "pid cannot be read"),
        ):
            (folder / "pid").write_text(noted)
            for ask in (place.get_status, place.cancel):
                (folder / "cancelled").unlink(missing_ok=True)
                with pytest.raises(AccessError, match=reason):
                    ask(handle)
            assert not (folder / "cancelled").exists()
        assert other.poll() is None
        other.kill()


def test_a_cancelled_run_that_ends_while_it_is_looked_at_has_not_failed(place_of, home, monkeypatch):
    place = place_of("exec sleep 60")
    handle = place.submit(JOB, home)
    place.cancel(handle)
    looks = iter([True, False])
    monkeypatch.setattr(spark_submit, "_is_alive", lambda folder: next(looks))
    assert [place.get_status(handle).state for _ in range(2)] == [RUNNING, STOPPED]


def test_a_driver_in_the_cluster_is_ended_there_too(place_of, home, tmp_path):
    place = place_of("echo 'Submitted application application_17_0042' >&2; exec sleep 60", **IN_CLUSTER)
    handle = place.submit(JOB, home)
    said = Path(handle["folder"]) / "output.txt"
    while not said.exists() or "0042" not in said.read_text():
        time.sleep(0.05)
    place_of()  # whose spark-class ends at once
    place.cancel(handle)
    told = (tmp_path / "spark" / "told").read_text().split()
    assert told == ["org.apache.hadoop.yarn.client.cli.ApplicationCLI", "-kill", "application_17_0042"]


def test_a_run_whose_process_is_gone_without_a_word_is_as_its_record_has_it(place_of, home):
    place = place_of("exec sleep 60")
    handle = place.submit(JOB, home)
    place.cancel(handle)
    (Path(handle["folder"]) / "cancelled").unlink()  # as if somebody else had killed it
    found = ended(place, handle)
    assert (found.state, "ended without an exit code" in found.detail) == (FAILED, True)
    record = Path(home, "runs", "run-1", "run.json")
    record.parent.mkdir(parents=True)
    record.write_text('{"state": "succeeded"}')
    assert place.get_status(handle).state == SUCCEEDED
    for text in ('{"state": null}', '{"sta', "[]"):
        record.write_text(text)
        assert place.get_status(handle).state == FAILED


def test_for_kubernetes_the_files_go_to_the_workspace_and_an_image_is_asked_for(place_of, home):
    place = place_of("", "k8s://https://host:6443")
    (fault,) = place.validate({"workspace": home})
    assert fault.startswith("spark.kubernetes.container.image is not set")
    chosen = {"spark__kubernetes__container__image": "registry/irbis:1"}
    place = place_of("", "k8s://https://host:6443", **chosen)
    assert place.validate({"workspace": home}) == []
    folder = Path(home) / "run"
    folder.mkdir(parents=True)
    told = place.command(JOB, folder, home)
    assert "spark.submit.deployMode=cluster" in told
    code = told[told.index("--py-files") + 1]
    assert code.startswith(f"{home}/sent/") and Path(code).is_file()


def test_files_that_a_driver_in_the_cluster_needs_are_sent_and_named_as_they_lie_beside_it(place_of, home, tmp_path):
    labels, plan = tmp_path / "labels of June.csv", tmp_path / "plan.yaml"
    given = {"sources.labels": str(labels)}
    job = RunRequest("run-1", ("sweep", str(plan)), given, files=(str(plan), str(labels)))
    folder = Path(home) / "run"
    folder.mkdir(parents=True)
    told = place_of("", **IN_CLUSTER).command(job, folder, home)
    assert told[told.index("--files") + 1] == f"{plan},{labels}"
    assert told[-5:] == ["plan.yaml", "--labels", "labels of June.csv", "--set", "runs.id=run-1"]
    here = place_of("").command(job, folder, home)
    assert "--files" not in here and here[-5:-2] == [str(plan), "--labels", str(labels)]


@pytest.mark.parametrize("name", ["June, July.csv", "labels#2.csv"])
def test_a_file_that_spark_would_take_for_two_is_refused(place_of, home, name):
    folder = Path(home) / "run"
    folder.mkdir(parents=True)
    job = RunRequest("run-1", ("run",), {"sources.labels": f"/data/{name}"}, files=(f"/data/{name}",))
    with pytest.raises(DataError, match=rf"would split /data/{name} at its comma or #\. Rename"):
        place_of("", **IN_CLUSTER).command(job, folder, home)


def test_without_a_spark_its_setting_is_named(place_of, home, monkeypatch):
    place = place_of()
    monkeypatch.setenv("SPARK_HOME", "/nowhere")
    (fault,) = place.validate({"workspace": home})
    assert fault == "There is no /nowhere/bin/spark-submit. Set SPARK_HOME to the folder of a Spark."


@pytest.mark.parametrize("name", ["mesos://x", "hdinsigth", "spark:"])
def test_only_places_that_are_known_are_taken(make_settings, name):
    with pytest.raises(
        SettingsError, match=r"there is no such backend. Known: databricks, hdinsight, or a Spark master"
    ):
        get_backend(name, make_settings())

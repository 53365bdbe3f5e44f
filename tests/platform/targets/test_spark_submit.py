"""Runs by spark-submit: a process of this machine that outlives the command, whatever becomes of it."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest

from pipelines.errors import DataError, SettingsError
from pipelines.platform.following import follow, handle_of, look
from pipelines.platform.ledger import FAILED, RUNNING, SENDING, STOPPED, SUCCEEDED, Entry, Ledger, now
from pipelines.platform.targets import spark_submit, target
from pipelines.platform.targets.guarding import guards
from pipelines.platform.targets.target import Job
from pipelines.storage.places import Places

JOB = Job("run-1", ("run",), {"train.folds": 2})
IN_CLUSTER = {"spark__submit__deployMode": "cluster"}
SCRIPT = """#!/bin/sh
# As Spark's own, it says things and ends. What it was told stands in a file beside it.
printf '%s\\n' "$@" > "$SPARK_HOME/told"
echo 'INFO SparkContext: all is well'
{body}
"""


@pytest.fixture
def place_of(make_settings, tmp_path, monkeypatch):
    """Give a function that makes a target whose spark-submit is a script with this body."""

    def make(body="", master="yarn", **chosen):
        home = tmp_path / "spark"
        (home / "bin").mkdir(parents=True, exist_ok=True)
        text = SCRIPT.format(body=body)
        for script in (home / "bin" / "spark-submit", home / "bin" / "spark-class"):
            if not script.is_file() or script.read_text() != text:  # a shell may be reading it
                script.write_text(text)
                script.chmod(0o755)
        monkeypatch.setenv("SPARK_HOME", str(home))
        conf = {f"spark.conf.{name.replace('__', '.')}": value for name, value in chosen.items()}
        settings = make_settings({"runs.ledger": str(tmp_path / "ledger"), **conf})
        return target(master, settings, Places(settings))

    return make


@pytest.fixture
def home(tmp_path):
    return str(tmp_path / "shared")


def entry_of(handle, home, **more):
    return Entry("run-1", ("run",), "yarn", {}, home, "/", now(), handle=handle, **more)


def ended(place, handle):
    while not (progress := place.progress(handle)).has_ended:
        time.sleep(0.05)
    return progress


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
    assert words == ["--set", "train.folds=2", "--set", "runs.id=run-1"]


def test_submitted_twice_it_is_started_once_and_found_by_its_id(place_of, home, tmp_path):
    place = place_of('echo once >> "$SPARK_HOME/starts"')
    first = place.submit(JOB, home)
    assert ended(place, first).state == SUCCEEDED
    pid = (Path(first["folder"]) / "pid").read_text()
    assert place.submit(JOB, home) == first and (Path(first["folder"]) / "pid").read_text() == pid
    assert (tmp_path / "spark" / "starts").read_text() == "once\n"
    assert handle_of(entry_of({}, home, state=SENDING), place_of()) == first and place.find("run-2") is None


def test_a_run_goes_on_when_the_process_that_sent_it_is_gone(place_of, home, tmp_path):
    place = place_of('while [ ! -e "$SPARK_HOME/go" ]; do sleep 0.1; done')
    handle = place.submit(JOB, home)
    again = place_of('while [ ! -e "$SPARK_HOME/go" ]; do sleep 0.1; done')
    assert again.progress(handle).state == RUNNING
    (tmp_path / "spark" / "go").touch()
    assert ended(again, handle).detail == "exit code 0"


def test_a_run_that_fails_says_why_in_the_words_of_spark(place_of, home, tmp_path):
    place = place_of("echo 'Exception in thread main: no such master' >&2; exit 3")
    handle, ledger = place.submit(JOB, home), Ledger(str(tmp_path / "ledger"))
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
    assert look(entry_of(handle, home), place, Ledger(str(tmp_path / "ledger"))).outcome == "no table"


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


def test_a_cancelled_run_that_ends_while_it_is_looked_at_has_not_failed(place_of, home, monkeypatch):
    place = place_of("exec sleep 60")
    handle = place.submit(JOB, home)
    place.cancel(handle)
    looks = iter([True, False])
    monkeypatch.setattr(spark_submit, "_is_alive", lambda folder: next(looks))
    assert [place.progress(handle).state for _ in range(2)] == [RUNNING, STOPPED]


def test_a_driver_in_the_cluster_is_ended_there_too(place_of, home, tmp_path):
    place = place_of("echo 'Submitted application application_17_0042' >&2; exec sleep 60", **IN_CLUSTER)
    handle = place.submit(JOB, home)
    said = Path(handle["folder"]) / "said.txt"
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
    assert (found.state, "gone without a word" in found.detail) == (FAILED, True)
    record = Path(home, "runs", "run-1", "run.json")
    record.parent.mkdir(parents=True)
    record.write_text('{"state": "succeeded"}')
    assert place.progress(handle).state == SUCCEEDED


def test_for_kubernetes_the_files_go_to_the_workspace_and_an_image_is_asked_for(place_of, home):
    place = place_of("", "k8s://https://host:6443")
    (fault,) = place.faults({"workspace": home})
    assert fault.startswith("spark.kubernetes.container.image is not set")
    chosen = {"spark__kubernetes__container__image": "registry/irbis:1"}
    place = place_of("", "k8s://https://host:6443", **chosen)
    assert place.faults({"workspace": home}) == []
    folder = Path(home) / "run"
    folder.mkdir(parents=True)
    told = place.command(JOB, folder, home)
    assert "spark.submit.deployMode=cluster" in told
    code = told[told.index("--py-files") + 1]
    assert code.startswith(f"{home}/sent/") and Path(code).is_file()


def test_files_that_a_driver_in_the_cluster_needs_are_sent_and_named_as_they_lie_beside_it(place_of, home, tmp_path):
    labels, plan = tmp_path / "labels of June.csv", tmp_path / "plan.yaml"
    given = {"sources.labels": str(labels)}
    job = Job("run-1", ("sweep", str(plan)), given, files=(str(plan), str(labels)))
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
    job = Job("run-1", ("run",), {"sources.labels": f"/data/{name}"}, files=(f"/data/{name}",))
    with pytest.raises(DataError, match=rf"comma or # in /data/{name} for another file\. Rename it"):
        place_of("", **IN_CLUSTER).command(job, folder, home)


def test_without_a_spark_its_setting_is_named(place_of, home, monkeypatch):
    place = place_of()
    monkeypatch.setenv("SPARK_HOME", "/nowhere")
    (fault,) = place.faults({"workspace": home})
    assert fault == "There is no /nowhere/bin/spark-submit. Set SPARK_HOME to the folder of a Spark."


@pytest.mark.parametrize("name", ["mesos://x", "hdinsigth", "spark:"])
def test_only_places_that_are_known_are_taken(make_settings, name):
    with pytest.raises(SettingsError, match=r"there is no such place. Known: databricks, hdinsight, or a Spark master"):
        target(name, make_settings())


SECRET = "a=b c\\d: é#"  # whatever Java's Properties could take for something else


def properties_of(text):
    """Read properties as Java does, as far as Spark writes them: the last one of a name wins."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = re.match(r"((?:\\.|[^\\ =])+)[ =]+(.*)", line).groups()
            found[name] = re.sub(r"\\(.)", r"\1", value).strip()
    return found


def test_secrets_reach_spark_submit_in_a_file_that_only_we_read_and_that_goes_with_it(place_of, home, tmp_path):
    keep = 'cp -p "$0/spark.properties" "$SPARK_HOME/kept"'.replace("$0", str(tmp_path / "ledger" / "run-1"))
    chosen = {"spark__hadoop__reader__password": SECRET, "spark__hadoop__a": 1}
    place = place_of(keep, **chosen)
    conf = tmp_path / "spark" / "conf"
    conf.mkdir()
    (conf / "spark-defaults.conf").write_text("# ours\nspark.hadoop.b 2\nspark.hadoop.reader.password=other")
    handle = place.submit(JOB, home)
    assert ended(place, handle).state == SUCCEEDED
    told = (tmp_path / "spark" / "told").read_text()
    assert "--properties-file" in told and "spark.hadoop.a=1" in told and "password" not in told and "c\\d" not in told
    kept = tmp_path / "spark" / "kept"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert properties_of(kept.read_text("utf-8")) == {"spark.hadoop.b": "2", "spark.hadoop.reader.password": SECRET}
    folder = Path(handle["folder"])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and not (folder / "spark.properties").exists()


@pytest.mark.parametrize("how", ["cancelled", "killed"])
def test_the_secrets_of_a_run_that_is_ended_from_outside_go_too(place_of, home, how):
    place = place_of("exec sleep 60", spark__hadoop__reader__password=SECRET)
    handle = place.submit(JOB, home)
    folder = Path(handle["folder"])
    assert (folder / "spark.properties").exists()
    if how == "cancelled":
        place.cancel(handle)
    else:
        os.killpg(int((folder / "pid").read_text()), signal.SIGKILL)
        assert ended(place, handle).state == FAILED
    assert not (folder / "spark.properties").exists()


def test_without_secrets_sparks_own_defaults_are_left_to_it(place_of, home, tmp_path):
    folder = Path(home) / "run"
    folder.mkdir(parents=True)
    assert "--properties-file" not in place_of("").command(JOB, folder, home)


def test_kubernetes_is_given_no_secret_for_its_config_map(place_of, home):
    pods = {"spark__kubernetes__container__image": "registry/irbis:1"}
    key, reference = "spark__hadoop__fs__azure__account__key__x", "spark__kubernetes__driver__secretKeyRef__KEY"
    place = place_of("", "k8s://https://host:6443", **pods, **{key: "a2V5"})
    (fault,) = place.faults({"workspace": home})
    assert fault.startswith("spark.conf.spark.hadoop.fs.azure.account.key.x is a secret, which Kubernetes would keep")
    assert "a2V5" not in fault and "spark.hadoop.fs.azure.account.key.x=${env.NAME} (docs/kubernetes.md)." in fault
    place = place_of("", "k8s://https://host:6443", **pods, **{key: "${env.KEY}", reference: "irbis:key"})
    assert place.faults({"workspace": home}) == []


CLOSED = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
NO_UI = {"spark.ui.enabled": "false"}
ENCRYPTED = {"spark.authenticate": "true", "spark.network.crypto.enabled": "true"}


@pytest.mark.parametrize(
    ("master", "chosen", "expected"),
    [
        ("local[2]", {}, {**NO_UI, **CLOSED, **ENCRYPTED}),
        ("local[2]", {"spark.ui.enabled": "true", "spark.driver.host": "x"}, {**CLOSED, **ENCRYPTED, "-": "host ui"}),
        ("local[2]", {"spark.authenticate": "false"}, {**NO_UI, **CLOSED}),
        ("spark://127.0.0.1:7077", {}, {**NO_UI, **CLOSED}),
        ("spark://localhost:7077,[::1]:7078", {}, {**NO_UI, **CLOSED}),
        ("spark://localhost:7077,host:7077", {}, NO_UI),
        ("spark://host:7077", {}, NO_UI),
        ("spark://host:7077", {"spark.authenticate.secret": "abc"}, {**NO_UI, **ENCRYPTED}),
        ("k8s://https://host:6443", {}, ENCRYPTED),
        ("yarn", {}, ENCRYPTED),
        ("yarn", {"spark.shuffle.service.enabled": "TRUE"}, {}),
    ],
)
def test_what_a_driver_opens_is_closed_to_others_unless_it_is_asked_for(master, chosen, expected, monkeypatch):
    monkeypatch.setenv("SPARK_CONF_DIR", "/nowhere")
    if expected.pop("-", ""):
        del expected["spark.driver.host"]
    assert guards(master, chosen) == expected


def test_what_sparks_own_defaults_say_stays(monkeypatch, tmp_path):
    (tmp_path / "spark-defaults.conf").write_text("spark.ui.enabled=true\n  spark.authenticate.secret  abc\n")
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    assert guards("spark://host:7077", {}) == ENCRYPTED
    (tmp_path / "spark-defaults.conf").write_text("spark.dynamicAllocation.enabled true\n")
    assert guards("yarn", {}) == {}

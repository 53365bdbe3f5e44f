"""Nobody else reaches a run that spark-submit starts, and nobody sees its secrets."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines.cli.app import irbis
from pipelines.runs.backends.spark_security import security_conf
from pipelines.runs.history import FAILED, SUCCEEDED, RunHistory

from .conftest import JOB, ended

SECRET = "a=b c\\d: é#"  # whatever Java's Properties could take for something else


def properties_of(text):
    """Read properties as Java does, as far as Spark writes them: the last one of a name wins."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = re.match(r"((?:\\.|[^\\ =])+)[ =]+(.*)", line).groups()
            found[name] = re.sub(r"\\(.)", r"\1", value).strip()
    return found


@pytest.mark.process
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
@pytest.mark.process
def test_the_secrets_of_a_run_that_is_ended_from_outside_go_too(place_of, home, how):
    place = place_of("exec sleep 60", spark__hadoop__reader__password=SECRET)
    handle = place.submit(JOB, home)
    folder = Path(handle["folder"])
    assert (folder / "spark.properties").exists()
    if how == "cancelled":
        place.cancel(handle)
    else:
        os.killpg(json.loads((folder / "pid").read_text())["pid"], signal.SIGKILL)
        assert ended(place, handle).state == FAILED
    assert not (folder / "spark.properties").exists()


@pytest.mark.process
def test_without_secrets_sparks_own_defaults_are_left_to_it(place_of, home, tmp_path):
    folder = Path(home) / "run"
    folder.mkdir(parents=True)
    assert "--properties-file" not in place_of("").command(JOB, folder, home)


def test_kubernetes_is_given_no_secret_for_its_config_map(place_of, home):
    pods = {"spark__kubernetes__container__image": "registry/irbis:1"}
    key, reference = "spark__hadoop__fs__azure__account__key__x", "spark__kubernetes__driver__secretKeyRef__KEY"
    place = place_of("", "k8s://https://host:6443", **pods, **{key: "a2V5"})
    (fault,) = place.validate({"workspace": home})
    assert fault.startswith("spark.conf.spark.hadoop.fs.azure.account.key.x is a secret, which Spark would store")
    assert "a2V5" not in fault
    assert "spark.hadoop.fs.azure.account.key.x=${env.NAME} (docs/deploy/kubernetes.md)." in fault
    place = place_of("", "k8s://https://host:6443", **pods, **{key: "${env.KEY}", reference: "irbis:key"})
    assert place.validate({"workspace": home}) == []


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
    assert security_conf(master, chosen) == expected


def test_what_sparks_own_defaults_say_stays(monkeypatch, tmp_path):
    (tmp_path / "spark-defaults.conf").write_text("spark.ui.enabled=true\n  spark.authenticate.secret  abc\n")
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    assert security_conf("spark://host:7077", {}) == ENCRYPTED
    (tmp_path / "spark-defaults.conf").write_text("spark.dynamicAllocation.enabled true\n")
    assert security_conf("yarn", {}) == {}


@pytest.fixture
def command(home, tmp_path, monkeypatch):
    """Return a function that runs `irbis` with a run history and workspace, and a password in its environment."""
    monkeypatch.setenv("IRBIS_RUNS__HISTORY_DIR", str(tmp_path / "ledger"))
    monkeypatch.setenv("IRBIS_SPARK__CONF", '{"spark.hadoop.reader.password": "hunter22"}')

    def run(*words):
        done = CliRunner().invoke(irbis, [*words, "--workspace", home])
        assert done.exception is None, done.exception
        assert "hunter22" not in done.output
        return done.output

    return run


@pytest.mark.process
def test_a_run_with_a_secret_is_recorded_without_it_and_cancelled_as_it_was_sent(place_of, command, tmp_path):
    place_of("echo 'Submitted application application_17_0042' >&2; exec sleep 60")
    said = command("submit", "ingest", "--on", "yarn", "--set", "spark.conf.spark.submit.deployMode=cluster")
    assert "spark.conf.spark.hadoop.reader.password is a secret" in said
    (entry,) = RunHistory(str(tmp_path / "ledger")).all()
    assert entry.settings["spark.conf"] == {"spark.submit.deployMode": "cluster"}
    heard = Path(entry.handle["folder"]) / "output.txt"
    while not heard.exists() or "0042" not in heard.read_text():
        time.sleep(0.05)
    place_of()  # whose spark-class ends at once
    assert "cancellation requested" in command("cancel")
    assert (tmp_path / "spark" / "told").read_text().split()[-2:] == ["-kill", "application_17_0042"]


@pytest.mark.process
def test_a_run_with_a_secret_is_repeated_with_the_rest_as_it_was_and_the_secret_of_today(place_of, command, tmp_path):
    place_of('while [ ! -e "$SPARK_HOME/go" ]; do sleep 0.1; done')
    told = tmp_path / "spark" / "told"
    command("submit", "ingest", "--on", "spark://host:7077", "--set", "spark.conf.spark.executor.memory=3g")
    while not told.exists() or "3g" not in told.read_text():  # or the first would write after the second
        time.sleep(0.05)
    (first,) = RunHistory(str(tmp_path / "ledger")).all()
    assert "spark.conf" in (said := command("repeat")) and "spark.executor.memory" in said
    (last,) = (entry for entry in RunHistory(str(tmp_path / "ledger")).all() if entry.id != first.id)
    assert last.settings["spark.conf"] == {"spark.executor.memory": "3g"}
    properties = Path(last.handle["folder"]) / "spark.properties"
    assert properties_of(properties.read_text()) == {"spark.hadoop.reader.password": "hunter22"}
    while last.id not in told.read_text():
        time.sleep(0.05)
    assert "spark.executor.memory=3g" in told.read_text()
    (tmp_path / "spark" / "go").touch()

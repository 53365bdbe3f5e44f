"""What is sent to Livy, and what happens where it does not take it, or its answer is lost."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from pipelines.errors import AccessError, DataError, SettingsError
from pipelines.runs.backends import livy
from pipelines.runs.backends.base import RunRequest
from pipelines.runs.follow import get_handle
from pipelines.runs.history import FAILED, PENDING, RunHistory
from pipelines.runs.submit import submit_run

from ....livy_server import PASSWORD, Container
from .conftest import JOB, entry_of

pytestmark = pytest.mark.process


def test_a_batch_has_job_file_code_delta_settings_and_words(server, handle, home):
    assert handle == {"batch": 0, "url": server.url, "id": "run-1", "workspace": home}
    told = server.batches[0].told
    assert told["name"] == "irbis run-1" and told["file"] == f"file://{home}/sent/run-1/run.py"
    assert Path(home, "sent", "run-1", "run.py").read_text("utf-8").startswith('"""Job: all five stages.')
    assert told["args"] == ["--set", "train.cv_folds=2", "--images", "/data/images", "--set", "runs.id=run-1"]
    (code,) = told["pyFiles"]
    assert "pipelines/cli/app.py" in zipfile.ZipFile(code.removeprefix("file://")).namelist()
    assert code.endswith(".zip")
    conf = told["conf"]
    assert conf["spark.jars.packages"] == "io.delta:delta-core_2.12:2.3.0"
    assert conf["spark.sql.extensions"] == "io.delta.sql.DeltaSparkSessionExtension"
    assert conf["spark.yarn.maxAppAttempts"] == "1" and conf["spark.yarn.max.executor.failures"] == "32"
    assert "archives" not in told
    assert all(isinstance(value, str) for value in conf.values())


@pytest.mark.parametrize(
    ("workspace", "address"),
    [
        ("{tmp_path}/mein Gebiet é", "file://{tmp_path}/mein%20Gebiet%20%C3%A9"),
        ("abfss://irbis@account.dfs.core.windows.net/a b", "abfss://irbis@account.dfs.core.windows.net/a%20b"),
    ],
)
def test_livy_is_told_addresses_as_it_reads_them(server, place_of, tmp_path, monkeypatch, workspace, address):
    place = place_of(server)
    monkeypatch.setattr(place, "_files", Container())
    place.submit(JOB, workspace.format(tmp_path=tmp_path))
    told, start = server.batches[0].told, address.format(tmp_path=tmp_path) + "/sent/"
    assert told["file"].startswith(start) and told["pyFiles"][0].startswith(start)


def test_a_packed_environment_of_this_machine_is_sent_and_worked_in(server, place_of, home, tmp_path):
    packed = tmp_path / "environment.tar.gz"
    packed.write_bytes(b"packed")
    place = place_of(server, {"hdinsight.archive": str(packed)})
    place.submit(JOB, home), place.submit(RunRequest("run-2", ("run",), {}), home)
    (first,), (second,) = (batch.told["archives"] for batch in server.batches.values())
    assert (
        first == second
        and first.startswith(f"file://{home}/sent/")
        and first.endswith("/environment.tar.gz#environment")
    )
    conf = server.batches[0].told["conf"]
    assert conf["spark.pyspark.python"] == "./environment/bin/python"
    assert conf["spark.yarn.appMasterEnv.PYSPARK_PYTHON"] == "./environment/bin/python"
    place_of(server, {"hdinsight.archive": "abfss://a@b.dfs.core.windows.net/e.tar.gz"}).submit(JOB, home)
    assert server.batches[2].told["archives"] == ["abfss://a@b.dfs.core.windows.net/e.tar.gz#environment"]
    place_of(server, {"hdinsight.python": "/usr/local/irbis/bin/python"}).submit(JOB, home)
    assert server.batches[3].told["conf"]["spark.pyspark.python"] == "/usr/local/irbis/bin/python"


def test_what_the_user_sets_of_spark_is_sent_but_for_what_livy_says_itself(server, place_of, home):
    chosen = {
        "spark.conf.spark.executor.memory": "3g",
        "spark.conf.spark.submit.deployMode": "client",
        "spark.conf.spark.jars.packages": "a:b:1",
        "spark.conf.spark.yarn.maxAppAttempts": 2,
    }
    place_of(server, chosen).submit(RunRequest("run-1", ("train",), {}, needs_lightgbm=True), home)
    conf = server.batches[0].told["conf"]
    assert conf["spark.executor.memory"] == "3g" and conf["spark.yarn.maxAppAttempts"] == "2"
    assert "spark.submit.deployMode" not in conf and "spark.master" not in conf
    packages = conf["spark.jars.packages"].split(",")
    assert packages[:2] == ["a:b:1", "io.delta:delta-core_2.12:2.3.0"] and "synapseml-lightgbm" in packages[2]


def test_a_wrong_password_says_so_and_that_the_run_goes_on(server, place_of, handle, home, tmp_path):
    server.password = "another"
    with pytest.raises(
        AccessError, match=r"denied access to admin \(401 Unauthorized\).*IRBIS_HDINSIGHT__PASSWORD.*continue"
    ):
        place_of(server).get_status(handle)
    entry, ledger = entry_of({}, home), RunHistory(str(tmp_path / "ledger"))
    with pytest.raises(AccessError):
        submit_run(entry, JOB, place_of(server), ledger)
    assert ledger.find("run-1").state == FAILED and len(server.batches) == 1


def test_a_token_enters_where_a_password_does_not(server, place_of, home):
    place = place_of(server, {"hdinsight.password": None, "hdinsight.token": PASSWORD})
    assert place.submit(JOB, home)["batch"] == 0
    with pytest.raises(AccessError, match="401"):
        place_of(server, {"hdinsight.password": None}).submit(JOB, home)


def test_a_password_does_not_travel_in_the_clear(place_of, server):
    with pytest.raises(SettingsError, match=r"http://cluster/livy: passwords and tokens are sent over https only"):
        place_of(server, {"hdinsight.url": "http://cluster/livy"}).get_status({"url": "x", "batch": 1})
    with pytest.raises(SettingsError, match=r"hdinsight\.url is not set.*https://CLUSTER\.azurehdinsight\.net/livy"):
        place_of(server, {"hdinsight.url": None}).get_status({"url": "x", "batch": 1})


def test_what_livy_refuses_is_told_in_its_words(server, place, home):
    server.faults.append(("POST /batches", 400))
    with pytest.raises(AccessError, match=r"returned an error: 400 fault 400\.$"):
        place.submit(JOB, home)


def test_where_the_answer_is_lost_the_run_is_started_once_and_found(server, place, home):
    place.submit(RunRequest("run-0", ("run",), {}), home)
    server.faults.append(("POST /batches", "drop after"))
    server.batches[0].state = "running"
    assert place.submit(JOB, home) == {"batch": 1, "url": server.url, "id": "run-1", "workspace": home}
    assert len(server.batches) == 2
    found = get_handle(entry_of({}, home, state=PENDING), place)
    assert (found["batch"], found["workspace"]) == (1, home)


def test_a_batch_that_says_nothing_yet_is_waited_for(server, place, handle, monkeypatch):
    batch = server.batches[0]
    said, batch.lines = batch.lines, []  # as before spark-submit's Java is up
    looks = []

    def look_later(seconds):
        looks.append(seconds)
        batch.lines = said

    monkeypatch.setattr(livy.time, "sleep", look_later)
    assert place.find("run-1")["batch"] == 0
    assert looks == ([] if server.is_new else [1])  # 0.7 tells names


def test_where_nothing_was_heard_nothing_was_started(server, place, home, tmp_path):
    place.submit(RunRequest("run-0", ("run",), {}), home)
    server.batches[0].state = "success"
    server.faults.append(("POST /batches", "drop"))
    ledger = RunHistory(str(tmp_path / "ledger"))
    with pytest.raises(
        AccessError, match=r"connection to http.* was lost: .* whether the run has started: `irbis logs run-1 --follow`"
    ):
        submit_run(entry_of({}, home, state=PENDING), JOB, place, ledger)
    with pytest.raises(DataError, match=r"run-1 was never started"):
        get_handle(ledger.find("run-1"), place)

"""Runs through Livy's REST interface: what is sent, and what happens where Livy misbehaves."""

from __future__ import annotations

import threading
import time
import zipfile

import pytest

from pipelines.errors import AccessError, DataError, PlatformError, SettingsError
from pipelines.platform.following import download, follow, handle_of, look
from pipelines.platform.ledger import FAILED, RUNNING, SENDING, STOPPED, SUCCEEDED, Entry, Ledger, now
from pipelines.platform.sending import send
from pipelines.platform.targets import livy, target
from pipelines.platform.targets.target import ConnectionLost, Job
from pipelines.storage.places import Places

from ...livy_server import PASSWORD, Livy, livy_server
from ...serving import serving

JOB = Job("run-1", ("run",), {"train.folds": 2, "sources.images": "/data/pictures"})
RECORD = '{"state": "%s", "stages": [{"outcome": "12 written"}], "error": "%s", "ended": "2026"}'


@pytest.fixture(params=[False, True], ids=["0.5", "0.7"])
def server(request):
    with livy_server(is_new=request.param) as running:
        yield running


@pytest.fixture
def place_of(make_settings):
    def make(server, overrides=None):
        given = {"hdinsight.url": server.url, "hdinsight.password": PASSWORD, **(overrides or {})}
        settings = make_settings(given)
        return target("hdinsight", settings, Places(settings))

    return make


@pytest.fixture
def place(server, place_of):
    return place_of(server)


@pytest.fixture
def home(tmp_path):
    return str(tmp_path / "shared")


@pytest.fixture
def handle(place, home):
    return place.submit(JOB, home)


def entry_of(handle, home, **more):
    return Entry("run-1", ("run",), "hdinsight", {}, home, "/", now(), handle=handle, **more)


def wait_for(happens):
    limit = time.monotonic() + 30
    while not happens():
        assert time.monotonic() < limit
        time.sleep(0.05)


def write_record(home, state, error=""):
    folder = livy.Path(home, "runs", "run-1")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(RECORD % (state, error))


def test_a_batch_has_job_file_code_delta_settings_and_words(server, handle, home):
    assert handle == {"batch": 0, "url": server.url, "id": "run-1", "workspace": home}
    told = server.batches[0].told
    assert told["name"] == "irbis run-1" and told["file"] == f"{home}/sent/run-1/run.py"
    assert livy.Path(told["file"]).read_text("utf-8").startswith('"""Job: all five stages.')
    assert told["args"] == ["--set", "train.folds=2", "--images", "/data/pictures", "--set", "runs.id=run-1"]
    (code,) = told["pyFiles"]
    assert code.endswith(".zip") and "pipelines/cli/__init__.py" in zipfile.ZipFile(code).namelist()
    conf = told["conf"]
    assert conf["spark.jars.packages"] == "io.delta:delta-core_2.12:2.3.0"
    assert conf["spark.sql.extensions"] == "io.delta.sql.DeltaSparkSessionExtension"
    assert conf["spark.yarn.maxAppAttempts"] == "1" and conf["spark.yarn.max.executor.failures"] == "32"
    assert "archives" not in told
    assert all(isinstance(value, str) for value in conf.values())


def test_a_packed_environment_of_this_machine_is_sent_and_worked_in(server, place_of, home, tmp_path):
    packed = tmp_path / "environment.tar.gz"
    packed.write_bytes(b"packed")
    place = place_of(server, {"hdinsight.archive": str(packed)})
    place.submit(JOB, home), place.submit(Job("run-2", ("run",), {}), home)
    (first,), (second,) = (batch.told["archives"] for batch in server.batches.values())
    assert first == second and first.startswith(f"{home}/sent/") and first.endswith("/environment.tar.gz#environment")
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
    place_of(server, chosen).submit(Job("run-1", ("train",), {}, needs_lightgbm=True), home)
    conf = server.batches[0].told["conf"]
    assert conf["spark.executor.memory"] == "3g" and conf["spark.yarn.maxAppAttempts"] == "2"
    assert "spark.submit.deployMode" not in conf and "spark.master" not in conf
    packages = conf["spark.jars.packages"].split(",")
    assert packages[:2] == ["a:b:1", "io.delta:delta-core_2.12:2.3.0"] and "synapseml-lightgbm" in packages[2]


def test_a_wrong_password_says_so_and_that_the_run_goes_on(server, place_of, handle, home, tmp_path):
    server.password = "another"
    with pytest.raises(AccessError, match=r"refuses admin \(401 Unauthorized\).*IRBIS_HDINSIGHT__PASSWORD.*go on"):
        place_of(server).progress(handle)
    entry, ledger = entry_of({}, home), Ledger(str(tmp_path / "ledger"))
    with pytest.raises(AccessError):
        send(entry, JOB, place_of(server), ledger)
    assert ledger.find("run-1").state == FAILED and len(server.batches) == 1


def test_a_token_enters_where_a_password_does_not(server, place_of, home):
    place = place_of(server, {"hdinsight.password": None, "hdinsight.token": PASSWORD})
    assert place.submit(JOB, home)["batch"] == 0
    with pytest.raises(AccessError, match="401"):
        place_of(server, {"hdinsight.password": None}).submit(JOB, home)


def test_a_password_does_not_travel_in_the_clear(place_of, server):
    with pytest.raises(SettingsError, match=r"http://cluster/livy: passwords and tokens travel over https only"):
        place_of(server, {"hdinsight.url": "http://cluster/livy"}).progress({"url": "x", "batch": 1})
    with pytest.raises(SettingsError, match=r"hdinsight\.url is not set.*https://CLUSTER\.azurehdinsight\.net/livy"):
        place_of(server, {"hdinsight.url": None}).progress({"url": "x", "batch": 1})


def test_what_livy_refuses_is_told_in_its_words(server, place, home):
    server.faults.append(("POST /batches", 400))
    with pytest.raises(AccessError, match=r"answers: 400 fault 400\.$"):
        place.submit(JOB, home)


def test_where_the_answer_is_lost_the_run_is_started_once_and_found(server, place, home):
    place.submit(Job("run-0", ("run",), {}), home)
    server.faults.append(("POST /batches", "drop after"))
    server.batches[0].state = "running"
    assert place.submit(JOB, home) == {"batch": 1, "url": server.url, "id": "run-1", "workspace": home}
    assert len(server.batches) == 2
    found = handle_of(entry_of({}, home, state=SENDING), place)
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
    place.submit(Job("run-0", ("run",), {}), home)
    server.batches[0].state = "success"
    server.faults.append(("POST /batches", "drop"))
    ledger = Ledger(str(tmp_path / "ledger"))
    with pytest.raises(AccessError, match=r"connection to http.* broke: .*`irbis logs run-1 --follow` looks whether"):
        send(entry_of({}, home, state=SENDING), JOB, place, ledger)
    with pytest.raises(DataError, match=r"run-1 was never started"):
        handle_of(ledger.find("run-1"), place)


def test_states_of_livy_are_told_in_our_words(server, place, handle):
    for word, state in [
        ("not_started", SENDING),
        ("starting", SENDING),
        ("running", RUNNING),
        ("recovering", RUNNING),
        ("shutting_down", RUNNING),
        ("success", SUCCEEDED),
        ("dead", FAILED),
        ("error", FAILED),
        ("killed", STOPPED),
    ]:
        server.batches[0].state = word
        found = place.progress(handle)
        assert (found.state, found.detail, found.tasks) == (state, word, {"batch": word})


def test_all_lines_that_livy_still_has_are_read(server, place, handle):
    server.batches[0].lines = []
    server.batches[0].say(*(f"line {number}" for number in range(300)))
    assert place.executed(handle)["livy.txt"].decode().splitlines() == [f"line {n}" for n in range(100, 300)]


def test_a_batch_that_dies_before_it_can_say_why_is_told_by_livy(server, place, handle, home, tmp_path):
    batch = server.batches[0]
    batch.state = "dead"
    batch.say("Exception in thread main: no such path abfss://x", *["\tat org.apache.spark.Client"] * 30)
    batch.say("\nYARN Diagnostics: ", "exitCode: 13")
    ledger = Ledger(str(tmp_path / "ledger"))
    ended = follow(entry_of(handle, home), place, ledger, 0.01, print, print)
    assert ended.state == FAILED
    assert ended.outcome.startswith("Exception in thread main: no such path abfss://x") and ended.outcome.endswith(
        "exitCode: 13"
    )
    got = download(place, ended.folder, tmp_path / "got")
    assert [file.name for file in got] == ["livy.txt"] and "exitCode: 13" in got[0].read_text()


def test_a_run_that_says_itself_why_it_failed_is_believed(server, place, handle, home, tmp_path):
    server.batches[0].state = "dead"
    write_record(home, "failed", "There is no table features in /x.")
    found = look(entry_of(handle, home), place, Ledger(str(tmp_path / "ledger")))
    assert (found.state, found.outcome) == (FAILED, "There is no table features in /x.")


def test_why_spark_has_ended_under_a_run_is_told_by_livy(server, place, handle, home, tmp_path):
    server.batches[0].state = "dead"
    server.batches[0].say("\nYARN Diagnostics: ", "Max number of executor failures (32) reached")
    write_record(home, "failed", 'Spark has ended.", "is_bereft": true, "word": "')
    found = look(entry_of(handle, home), place, Ledger(str(tmp_path / "ledger")))
    assert found.outcome == "Spark has ended.\n\nYARN Diagnostics:\nMax number of executor failures (32) reached"


def test_a_run_that_is_cancelled_is_forgotten_by_livy_but_not_by_us(server, place, handle, home):
    place.cancel(handle)
    assert server.batches == {} and [call for call in server.calls if call.startswith("DELETE")] == [
        "DELETE /batches/0"
    ]
    assert place.progress(handle).state == STOPPED
    assert place.progress(handle).detail == "cancelled"
    with pytest.raises(AccessError, match=r"Livy has forgotten batch 0.*yarn application -kill"):
        place.cancel(handle)


def test_a_run_that_was_seen_dying_of_its_cancelling_was_stopped(server, place, handle, home):
    server.faults.append(("DELETE", "drop"))
    with pytest.raises(ConnectionLost):
        place.cancel(handle)
    assert place.progress(handle).state == SENDING
    server.batches[0].state = "dead"
    assert place.progress(handle).state == STOPPED


def test_a_run_outlives_a_livy_that_restarts_and_forgets(server, place, handle, home, tmp_path):
    told, said = [], []
    log = livy.Path(home, "runs", "run-1", "run.log")
    log.parent.mkdir(parents=True)
    log.write_text("ingest: 1 read\n")
    port, is_new = server.server_port, server.is_new
    server.batches[0].state = "running"
    server.shutdown(), server.server_close()
    ledger, ended = Ledger(str(tmp_path / "ledger")), []

    def run():
        ended.append(follow(entry_of(handle, home), place, ledger, 0.05, said.append, told.append))

    client = threading.Thread(target=run, daemon=True)
    client.start()
    wait_for(lambda: any("Looking again" in line for line in told))
    with serving(Livy(is_new=is_new, port=port)):
        wait_for(lambda: any("forgotten" in line for line in told))
        assert not ended
        write_record(home, "succeeded")
        client.join(20)
    assert (ended[0].state, ended[0].outcome) == (SUCCEEDED, "12 written")
    assert said == ["ingest: 1 read\n"]


def test_a_batch_of_that_number_in_a_livy_that_counts_anew_is_not_ours(server, place, handle, home):
    server.batches.clear()
    place.submit(Job("other", ("run",), {}), home)
    server.batches[0].state = "dead"
    found = place.progress(handle)
    if server.is_new:  # 0.5 tells no names
        assert (found.state, found.detail) == (RUNNING, "Livy has forgotten batch 0")


def test_a_forgotten_run_that_says_nothing_for_long_is_given_up(server, place, handle, monkeypatch):
    server.batches.clear()
    assert place.progress(handle).state == RUNNING
    monkeypatch.setattr(livy, "QUIET", -1.0)
    found = place.progress(handle)
    assert (found.state, "said nothing for half an hour" in found.detail) == (FAILED, True)


@pytest.mark.parametrize("fault", [500, 502, 503, 429, "drop"])
def test_what_passes_is_a_connection_that_may_come_back(server, place, handle, fault):
    server.faults.append(("GET /batches/0", fault))
    with pytest.raises(ConnectionLost):
        place.progress(handle)
    assert place.progress(handle).state == SENDING


def test_what_cannot_be_there_is_said_before_anything_is_sent(server, place):
    first, second = place.faults({"workspace": "irbis-workspace", "sources.images": "pictures"})
    assert first.startswith("workspace = irbis-workspace is a folder below this one, which the cluster does not see")
    assert "`irbis upload pictures az://" in second
    (fault,) = place.faults({"workspace": "hdfs:///irbis"})
    assert "cannot be reached from this machine" in fault and "az://ACCOUNT" in fault
    for workspace in ("/data/irbis", "abfss://a@acc.dfs.core.windows.net/x"):
        assert place.faults({"workspace": workspace, "sources.images": "/data/pictures"}) == []
    assert server.calls == []


def test_a_run_of_another_cluster_is_not_asked_about_here(server, place):
    with pytest.raises(PlatformError, match=r"The run is in https://other, but hdinsight\.url = http://127"):
        place.progress({"url": "https://other", "batch": 1, "id": "x", "workspace": "/"})

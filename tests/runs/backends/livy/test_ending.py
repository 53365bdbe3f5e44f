"""Runs in Livy are followed to their end: in its words, after its restart, when it has forgotten them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pipelines.errors import AccessError, PlatformError
from pipelines.runs.backends import livy
from pipelines.runs.backends.base import ConnectionLost, RunRequest
from pipelines.runs.follow import download, follow, refresh
from pipelines.runs.history import FAILED, PENDING, RUNNING, STOPPED, SUCCEEDED, RunHistory

from ....http_server import serving
from ....livy_server import Livy
from .conftest import entry_of, wait_for, write_record

pytestmark = pytest.mark.process


def test_states_of_livy_are_told_in_our_words(server, place, handle):
    for word, state in [
        ("not_started", PENDING),
        ("starting", PENDING),
        ("running", RUNNING),
        ("recovering", RUNNING),
        ("shutting_down", RUNNING),
        ("success", SUCCEEDED),
        ("dead", FAILED),
        ("error", FAILED),
        ("killed", STOPPED),
    ]:
        server.batches[0].state = word
        found = place.get_status(handle)
        assert (found.state, found.detail, found.tasks) == (state, word, {"batch": word})


def test_all_lines_that_livy_still_has_are_read(server, place, handle):
    server.batches[0].lines = []
    server.batches[0].say(*(f"line {number}" for number in range(300)))
    assert place.fetch_artifacts(handle)["livy.txt"].decode().splitlines() == [f"line {n}" for n in range(100, 300)]


def test_a_batch_that_dies_before_it_can_say_why_is_told_by_livy(server, place, handle, home, tmp_path):
    batch = server.batches[0]
    batch.state = "dead"
    batch.say("Exception in thread main: no such path abfss://x", *["\tat org.apache.spark.Client"] * 30)
    batch.say("\nYARN Diagnostics: ", "exitCode: 13")
    ledger = RunHistory(str(tmp_path / "ledger"))
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
    found = refresh(entry_of(handle, home), place, RunHistory(str(tmp_path / "ledger")))
    assert (found.state, found.outcome) == (FAILED, "There is no table features in /x.")


def test_why_spark_has_ended_under_a_run_is_told_by_livy(server, place, handle, home, tmp_path):
    server.batches[0].state = "dead"
    server.batches[0].say("\nYARN Diagnostics: ", "Max number of executor failures (32) reached")
    write_record(home, "failed", 'Spark ended.", "has_lost_spark": true, "word": "')
    found = refresh(entry_of(handle, home), place, RunHistory(str(tmp_path / "ledger")))
    assert found.outcome == "Spark ended.\n\nYARN Diagnostics:\nMax number of executor failures (32) reached"


def test_a_run_that_is_cancelled_is_forgotten_by_livy_but_not_by_us(server, place, handle, home):
    place.cancel(handle)
    assert server.batches == {} and [call for call in server.calls if call.startswith("DELETE")] == [
        "DELETE /batches/0"
    ]
    assert place.get_status(handle).state == STOPPED
    assert place.get_status(handle).detail == "cancelled"
    with pytest.raises(AccessError, match=r"Livy does not know batch 0.*yarn application -kill"):
        place.cancel(handle)


def test_a_run_that_was_seen_dying_of_its_cancelling_was_stopped(server, place, handle, home):
    server.faults.append(("DELETE", "drop"))
    with pytest.raises(ConnectionLost):
        place.cancel(handle)
    assert place.get_status(handle).state == PENDING
    server.batches[0].state = "dead"
    assert place.get_status(handle).state == STOPPED


def test_a_run_outlives_a_livy_that_restarts_and_forgets(server, place, handle, home, tmp_path):
    told, said = [], []
    log = Path(home, "runs", "run-1", "run.log")
    log.parent.mkdir(parents=True)
    log.write_text("ingest: 1 read\n")
    port, is_new = server.server_port, server.is_new
    server.batches[0].state = "running"
    server.shutdown(), server.server_close()
    ledger, ended = RunHistory(str(tmp_path / "ledger")), []

    def run():
        ended.append(follow(entry_of(handle, home), place, ledger, 0.05, said.append, told.append))

    client = threading.Thread(target=run, daemon=True)
    client.start()
    wait_for(lambda: any("Reconnecting" in line for line in told))
    with serving(Livy(is_new=is_new, port=port)):
        wait_for(lambda: any("forgotten" in line for line in told))
        assert not ended
        write_record(home, "succeeded")
        client.join(20)
    assert (ended[0].state, ended[0].outcome) == (SUCCEEDED, "12 written")
    assert said == ["ingest: 1 read\n"]


def test_a_batch_of_that_number_in_a_livy_that_counts_anew_is_not_ours(server, place, handle, home):
    server.batches.clear()
    place.submit(RunRequest("other", ("run",), {}), home)
    server.batches[0].state = "dead"
    found = place.get_status(handle)
    if server.is_new:  # 0.5 tells no names
        assert (found.state, found.detail) == (RUNNING, "Livy does not know batch 0 any more")


def test_a_forgotten_run_that_says_nothing_for_long_is_given_up(server, place, handle, monkeypatch):
    server.batches.clear()
    assert place.get_status(handle).state == RUNNING
    monkeypatch.setattr(livy, "STALE_SECONDS", -1.0)
    found = place.get_status(handle)
    assert (found.state, "written nothing for half an hour" in found.detail) == (FAILED, True)


@pytest.mark.parametrize("fault", [500, 502, 503, 429, "drop"])
def test_what_passes_is_a_connection_that_may_come_back(server, place, handle, fault):
    server.faults.append(("GET /batches/0", fault))
    with pytest.raises(ConnectionLost):
        place.get_status(handle)
    assert place.get_status(handle).state == PENDING


def test_what_cannot_be_there_is_said_before_anything_is_sent(server, place):
    first, second = place.validate({"workspace": "irbis-workspace", "sources.images": "images"})
    assert first.startswith("workspace = irbis-workspace is ")
    assert "`irbis upload images az://" in second
    (fault,) = place.validate({"workspace": "hdfs:///irbis"})
    assert "cannot be reached from this machine" in fault and "az://ACCOUNT" in fault
    for workspace in ("/data/irbis", "abfss://a@acc.dfs.core.windows.net/x"):
        assert place.validate({"workspace": workspace, "sources.images": "/data/images"}) == []
    assert server.calls == []


def test_a_run_of_another_cluster_is_not_asked_about_here(server, place):
    with pytest.raises(PlatformError, match=r"The run is in https://other, but hdinsight\.url = http://127"):
        place.get_status({"url": "https://other", "batch": 1, "id": "x", "workspace": "/"})

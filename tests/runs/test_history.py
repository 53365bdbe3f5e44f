"""The ledger keeps what was started, finds it by the beginning of its name, and notices who is gone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from pipelines.errors import DataError, PlatformError
from pipelines.processes import Process
from pipelines.runs.history import FAILED, RUNNING, STOPPED, UNKNOWN, RunHistory, RunRecord, new_run_id, refresh_local


def entry(name="run-1", started="2026-01-01T10:00:00+00:00", **more):
    return RunRecord(name, ("run",), "local", {"train.cv_folds": 2}, "/w/", "/here", started, **more)


def test_an_entry_is_read_as_it_was_written(tmp_path):
    ledger = RunHistory(str(tmp_path / "a" / "ledger"))
    written = ledger.write(entry(handle={"run_id": 7}, pid=1))
    assert ledger.all() == [written]
    assert ledger.find("run-1").folder == "/w/runs/run-1"


def test_a_run_is_found_by_the_beginning_of_its_id_and_the_latest_without_one(tmp_path):
    ledger = RunHistory(str(tmp_path))
    for name, hour in (("run-b", 12), ("run-a", 11), ("train-c", 10)):
        ledger.write(entry(name, f"2026-01-01T{hour}:00:00+00:00"))
    assert ledger.find(None).id == "run-b" and ledger.find("train").id == "train-c"
    with pytest.raises(DataError, match=r"2 runs begin with run\. They are: run-a, run-b\."):
        ledger.find("run")
    with pytest.raises(DataError, match=r"There is no run x\. The latest: train-c, run-a, run-b\."):
        ledger.find("x")


def test_an_id_that_begins_another_is_still_found(tmp_path):
    ledger = RunHistory(str(tmp_path))
    ledger.write(entry("run-1")), ledger.write(entry("run-12"))
    assert ledger.find("run-1").id == "run-1"


def test_an_empty_ledger_says_who_would_write_in_it(tmp_path):
    with pytest.raises(DataError, match=r"No runs in .*none\. `irbis run` and `irbis submit` record"):
        RunHistory(str(tmp_path / "none")).find(None)


RECORD = {
    "id": "bad",
    "command": ["run"],
    "backend": "databricks",
    "settings": {},
    "workspace": "/w",
    "cwd": "/",
    "started": "2026-01-01T10:00:00+00:00",
    "state": "running",
}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("no json", "Invalid JSON"),
        (json.dumps(RECORD)[:-20], "Invalid JSON"),
        ("[]", "cannot be read"),
        ('{"id": "bad"}', "command: "),
        (RECORD | {"started": None}, "started: Input should be a valid string"),
        (RECORD | {"started": "yesterday"}, "Invalid isoformat string: 'yesterday'"),
        (RECORD | {"started": "2026-01-01T10:00:00"}, "offset-naive"),
        (RECORD | {"ended": "x", "state": "failed"}, "Invalid isoformat string: 'x'"),
        (RECORD | {"pid": "12"}, "pid: Input should be a valid integer"),
        (RECORD | {"process": {"pid": None}}, "process.pid: Input should be a valid integer"),
        (RECORD | {"command": None}, "command: "),
        (RECORD | {"command": []}, "it names no command"),
        (RECORD | {"handle": 7}, "handle: "),
        (RECORD | {"state": "asleep"}, "its state is 'asleep'"),
        (RECORD | {"id": "../../elsewhere"}, "its id is '../../elsewhere'"),
    ],
)
def test_a_record_that_cannot_be_read_is_listed_as_unknown_and_the_others_as_they_are(tmp_path, record, reason):
    ledger = RunHistory(str(tmp_path))
    written = ledger.write(entry())
    (tmp_path / "bad.json").write_text(record if isinstance(record, str) else json.dumps(record))
    good, bad = ledger.all()
    assert (good, bad.id, bad.state, bad.seconds, bad.is_readable) == (written, "bad", UNKNOWN, None, False)
    assert bad.outcome.startswith(f"its record {tmp_path}/bad.json cannot be ") and reason in bad.outcome
    assert ledger.find(None) == ledger.find("run") == written
    with pytest.raises(DataError, match=r"bad: its record .*bad\.json cannot be .*; delete it, or check the run"):
        ledger.find("bad")


def test_a_record_of_a_later_version_with_more_in_it_is_read(tmp_path):
    ledger = RunHistory(str(tmp_path))
    (tmp_path / "bad.json").write_text(json.dumps(RECORD | {"colour": "red"}))
    assert [(each.id, each.state) for each in ledger.all()] == [("bad", RUNNING)]


def test_a_ledger_that_cannot_be_written_names_the_setting(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        PlatformError, match=r"runs\.history_dir = .*file/led cannot be written \(.*IRBIS_RUNS__HISTORY_DIR=DIR"
    ):
        RunHistory(str(tmp_path / "file" / "led")).write(entry())


@pytest.mark.process
def test_a_local_run_whose_process_is_gone_was_stopped(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = Process.of(gone.pid)
    assert refresh_local(entry(process=process)).state == RUNNING
    gone.communicate()
    found = refresh_local(entry(process=process))
    assert (found.state, found.outcome, found.seconds) == (STOPPED, "its process is gone", None)
    assert refresh_local(entry(process=process, state=FAILED)).state == FAILED
    ledger = RunHistory(str(tmp_path))
    assert refresh_local(ledger.write(entry(process=Process.of(os.getpid())))).state == RUNNING
    assert refresh_local(ledger.find("run-1")).state == RUNNING


def test_a_run_of_which_only_a_process_id_is_known_is_unknown_while_the_id_is_in_use():
    found = refresh_local(entry(pid=os.getpid()))
    assert found.state == UNKNOWN
    assert refresh_local(entry(pid=2**22 + 1)).state == STOPPED


def test_the_time_that_a_run_took_is_that_between_its_ends():
    assert entry(ended="2026-01-01T11:00:30+00:00", state=FAILED).seconds == 3630


def test_ids_begin_with_the_word_and_sort_by_time():
    assert re.fullmatch(r"train-\d{8}-\d{6}-[0-9a-f]{4}", new_run_id("train"))

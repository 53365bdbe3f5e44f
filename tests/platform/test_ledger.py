"""The ledger keeps what was started, finds it by the beginning of its name, and notices who is gone."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from pipelines.errors import DataError, PlatformError
from pipelines.platform.ledger import FAILED, RUNNING, STOPPED, Entry, Ledger, new_id, seen


def entry(name="run-1", started="2026-01-01T10:00:00+00:00", **more):
    return Entry(name, ("run",), "local", {"train.folds": 2}, "/w/", "/here", started, **more)


def test_an_entry_is_read_as_it_was_written(tmp_path):
    ledger = Ledger(str(tmp_path / "a" / "ledger"))
    written = ledger.write(entry(handle={"run_id": 7}, pid=1))
    assert ledger.all() == [written]
    assert ledger.find("run-1").folder == "/w/runs/run-1"


def test_a_run_is_found_by_the_beginning_of_its_id_and_the_latest_without_one(tmp_path):
    ledger = Ledger(str(tmp_path))
    for name, hour in (("run-b", 12), ("run-a", 11), ("train-c", 10)):
        ledger.write(entry(name, f"2026-01-01T{hour}:00:00+00:00"))
    assert ledger.find(None).id == "run-b" and ledger.find("train").id == "train-c"
    with pytest.raises(DataError, match=r"2 runs begin with run\. They are: run-a, run-b\."):
        ledger.find("run")
    with pytest.raises(DataError, match=r"There is no run x\. The latest: train-c, run-a, run-b\."):
        ledger.find("x")


def test_an_id_that_begins_another_is_still_found(tmp_path):
    ledger = Ledger(str(tmp_path))
    ledger.write(entry("run-1")), ledger.write(entry("run-12"))
    assert ledger.find("run-1").id == "run-1"


def test_an_empty_ledger_says_who_would_write_in_it(tmp_path):
    with pytest.raises(DataError, match=r"No run is noted in .*none\. `irbis run` and `irbis submit` note"):
        Ledger(str(tmp_path / "none")).find(None)


def test_files_that_are_no_entries_are_passed_over(tmp_path):
    ledger = Ledger(str(tmp_path))
    for name, text in (("a", "no json"), ("b", "[]"), ("c", '{"id": "c"}'), ("d", '{"words": null}')):
        (tmp_path / f"{name}.json").write_text(text)
    assert ledger.write(entry()) and [each.id for each in ledger.all()] == ["run-1"]


def test_a_ledger_that_cannot_be_written_names_the_setting(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PlatformError, match=r"runs\.ledger = .*file/led cannot be written \(.*IRBIS_RUNS__LEDGER=DIR"):
        Ledger(str(tmp_path / "file" / "led")).write(entry())


def test_a_local_run_whose_process_is_gone_was_stopped():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert seen(entry(pid=os.getpid())).state == RUNNING
    found = seen(entry(pid=gone.pid))
    assert (found.state, found.outcome, found.seconds) == (STOPPED, "its process is gone", None)
    assert seen(entry(pid=gone.pid, state=FAILED)).state == FAILED


def test_the_time_that_a_run_took_is_that_between_its_ends():
    assert entry(ended="2026-01-01T11:00:30+00:00", state=FAILED).seconds == 3630


def test_ids_begin_with_the_word_and_sort_by_time():
    assert re.fullmatch(r"train-\d{8}-\d{6}-[0-9a-f]{4}", new_id("train"))

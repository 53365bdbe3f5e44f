"""A run's process is told from all that have had its number: signals go to the very same one or to none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from pipelines import processes
from pipelines.errors import DataError
from pipelines.processes import Process
from pipelines.runs.backends.local import LocalBackend
from pipelines.runs.history import RUNNING, STOPPED, UNKNOWN, RunHistory, RunRecord

pytestmark = pytest.mark.process


@pytest.fixture
def child():
    """Return a process whose exit code is 7 if it was interrupted."""
    code = "import sys\ntry:\n print('on', flush=True)\n input()\nexcept KeyboardInterrupt:\n sys.exit(7)"
    running = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert running.stdout and running.stdout.readline() == b"on\n"
    yield running
    running.kill()
    running.communicate()


def run_of(process: Process) -> RunRecord:
    return RunRecord("run-1", ("run",), "local", {}, "/w", "/", "2026-01-01T10:00:00+00:00", process=process)


def test_this_very_process_is_signalled(child, tmp_path):
    ledger, process = RunHistory(str(tmp_path)), Process.of(child.pid)
    ledger.write(run_of(process))
    assert process.is_running and not process.is_gone and process.unknown_reason is None
    LocalBackend(ledger).cancel({"id": "run-1"})
    while child.poll() is None:  # a signal that comes just before the process waits does not end its waiting
        time.sleep(1)
        process.send(signal.SIGINT)
    assert child.returncode == 7
    assert not process.is_running and process.is_gone and not process.send(signal.SIGINT)


@pytest.mark.parametrize(
    ("change", "state", "reason"),
    [
        ({"started_at": "1"}, STOPPED, "its process is gone"),
        ({"boot": "another start of this machine"}, STOPPED, "its process is gone"),
        ({"host": "elsewhere"}, UNKNOWN, "it runs on another machine, elsewhere: ask there"),
        (
            {"host": None, "boot": None, "started_at": None},
            UNKNOWN,
            "an earlier version noted no more than a process id",
        ),
        ({"started_at": None}, UNKNOWN, "this system does not say when a process began"),
    ],
)
def test_another_process_with_the_same_id_is_not_signalled(child, tmp_path, change, state, reason):
    ledger, process = RunHistory(str(tmp_path)), replace(Process.of(child.pid), **change)
    ledger.write(run_of(process))
    progress = LocalBackend(ledger).get_status({"id": "run-1"})
    assert (progress.state, progress.detail[: len(reason)]) == (state, reason)
    with pytest.raises(DataError, match=f"run-1 cannot be cancelled from here: {reason}"):
        LocalBackend(ledger).cancel({"id": "run-1"})
    assert not process.send(signal.SIGTERM, is_group=True)
    child.communicate(b"\n")
    assert child.returncode == 0


def test_a_process_that_has_ended_and_is_not_yet_asked_for_does_not_run():
    ended = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = Process.of(ended.pid)
    assert ended.stdin
    ended.stdin.close()
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    assert process.is_gone and not process.is_running
    ended.wait()


def test_without_linux_the_start_is_asked_of_ps(monkeypatch, tmp_path, child):
    monkeypatch.setattr(processes, "BOOT_ID", tmp_path / "none")
    process = Process.of(child.pid)
    assert process.boot is None and process.started_at and process.is_running
    child.communicate(b"\n")
    assert process.is_gone


def test_a_run_that_is_looked_at_from_another_machine_keeps_its_record(tmp_path):
    from pipelines.runs.follow import refresh

    ledger = RunHistory(str(tmp_path))
    entry = ledger.write(run_of(replace(Process.of(os.getpid()), host="elsewhere")))
    assert refresh(entry, LocalBackend(ledger), ledger).state == UNKNOWN
    assert ledger.all()[0].state == RUNNING


def test_a_temporary_folder_is_left_behind_once_its_process_is_killed(tmp_path):
    code = f"""
from pathlib import Path
from pipelines.processes import temporary_folder
with temporary_folder(Path({str(tmp_path)!r})) as folder:
    print(folder.name, flush=True)
    input()
"""
    running = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    name = running.stdout.readline().decode().strip()
    assert [path.name for path in tmp_path.iterdir()] == [name] and not processes.is_left_behind(name)
    running.kill()
    running.communicate()
    assert [path.name for path in tmp_path.iterdir()] == [name] and processes.is_left_behind(name)
    assert not processes.is_left_behind(name.replace("process-", "process-elsewhere."))
    assert not processes.is_left_behind(f"{name}/..") and not processes.is_left_behind("tmpab_12xyz")
    with processes.temporary_folder(tmp_path) as folder:
        assert not processes.is_left_behind(folder.name)
    assert not folder.exists()

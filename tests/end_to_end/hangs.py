"""Run a command with a time limit; if it hangs, show the stacks of all its processes, Python and Java."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

LIMIT_SECONDS = 900.0  # more than any command takes, also on a busy machine
QUIET_SECONDS, MAX_WAIT_SECONDS = 3.0, 60.0  # without a new line in any log: all stacks are written
MAX_LOG_CHARS = 200_000


def run_with_limit(
    command: Sequence[str], folder: Path, env: Mapping[str, str], seconds: float = LIMIT_SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder and return its output; fail with `end_with_stacks` if it does not end."""
    process = start(command, folder, env)
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        pytest.fail(f"{command} did not end within {seconds:g} s.\n{end_with_stacks(process, folder)}", pytrace=False)
    except BaseException:  # Ctrl-C, or the limit of the whole test
        process.kill()
        raise
    return subprocess.CompletedProcess(list(command), process.returncode, out, err)


def start(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start a command whose Python processes write their stacks to stderr on SIGABRT."""
    return subprocess.Popen(
        list(command),
        cwd=folder,
        env={**env, "PYTHONFAULTHANDLER": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end_with_stacks(process: subprocess.Popen[str], folder: Path) -> str:
    """End a process and its descendants; return their list, their stacks, and the Spark logs in the folder.

    The Spark log has the stacks of Java and, through Java, those of Spark's Python workers. All Python processes are
    stopped first: otherwise one would go on when another ends.
    """
    pids = _descendants(process.pid)
    columns = "pid,ppid,stat,etimes,nlwp,wchan:24,args"
    command = ["ps", "-ww", "-o", columns, "-p", ",".join(map(str, [process.pid, *pids]))]
    listing = subprocess.run(command, capture_output=True, text=True).stdout
    names = {pid: _command_name(pid) for pid in pids}
    workers = [pid for pid in pids if names[pid].startswith("python")]
    for pid in [process.pid, *workers]:
        _send(pid, signal.SIGSTOP)
    for pid in pids:
        if names[pid].startswith("java"):
            _send(pid, signal.SIGQUIT)
    _wait_for_quiet(folder)
    _abort(workers)
    _wait_for_quiet(folder)
    _abort([process.pid])
    try:
        out, err = process.communicate(timeout=MAX_WAIT_SECONDS)
    except subprocess.TimeoutExpired as error:  # a descendant has its output open
        out, err = ((text or b"").decode(errors="replace") for text in (error.stdout, error.stderr))
    for pid in [process.pid, *pids]:
        _send(pid, signal.SIGKILL)
    process.wait()
    logs = [f"--- {path}\n{path.read_text(errors='replace')[-MAX_LOG_CHARS:]}" for path in _logs(folder)]
    return "\n".join([listing, "--- stdout", out, "--- stderr", err, *logs])


def _descendants(pid: int) -> list[int]:
    """Return the ids of the descendants of a process, parents first."""
    command = ["ps", "-o", "pid=", "--ppid", str(pid)]
    children = [int(word) for word in subprocess.run(command, capture_output=True, text=True).stdout.split()]
    return children + [each for child in children for each in _descendants(child)]


def _command_name(pid: int) -> str:
    with suppress(OSError):  # it has ended
        return Path(f"/proc/{pid}/comm").read_text()
    return ""


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _abort(pids: Sequence[int]) -> None:
    for pid in pids:
        for number in (signal.SIGABRT, signal.SIGCONT):
            _send(pid, number)


def _logs(folder: Path) -> list[Path]:
    return sorted(folder.rglob("spark.log"))


def _wait_for_quiet(folder: Path) -> None:
    """Wait until no log grows any more."""
    last, size = time.monotonic(), -1
    end = last + MAX_WAIT_SECONDS
    while (now := time.monotonic()) < min(end, last + QUIET_SECONDS):
        if (new := sum(path.stat().st_size for path in _logs(folder))) != size:
            last, size = now, new
        time.sleep(0.1)

"""How far long work is: lines in a job's log, a bar on a terminal."""

from __future__ import annotations

import re
import sys
import threading
import time

import pytest

from pipelines import progress as module
from pipelines.progress import progress, progress_line


@pytest.mark.parametrize(
    ("done", "seconds", "expected"),
    [
        (1200, 30, "featurize: 1,200 of 2,527 images, 40 images/s, 33 s left"),
        (0, 30, "featurize: 0 of 2,527 images, 0 images/s, time left unknown"),
        (0, 0, "featurize: 0 of 2,527 images, 0 images/s, time left unknown"),
        (2527, 10, "featurize: 2,527 of 2,527 images, 253 images/s, 0 s left"),
        (2600, 10, "featurize: 2,527 of 2,527 images, 253 images/s, 0 s left"),
    ],
)
def test_a_line_says_rate_and_time_left(done, seconds, expected):
    assert progress_line("featurize", 2527, done, seconds) == expected


def _wait_for(reached) -> None:
    while not reached():
        time.sleep(0.01)


def test_a_log_gets_plain_lines_while_work_goes_on(monkeypatch, capsys):
    monkeypatch.setattr(module, "LOG_SECONDS", 0.02)
    looks: list[int] = []
    before = set(threading.enumerate())

    def done() -> int:
        looks.append(1)
        return len(looks)

    with progress("ingest", 1000, done):
        _wait_for(lambda: len(looks) >= 3)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(looks)
    assert re.fullmatch(r"ingest: 1 of 1,000 images, [\d,]+ images/s, [\d,]+ s left", lines[0])
    assert set(threading.enumerate()) <= before
    count = len(looks)
    time.sleep(0.1)
    assert len(looks) == count


def test_short_work_says_nothing_in_a_log(capsys):
    with progress("ingest", 3, lambda: 3):
        pass
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_that_goes_away(monkeypatch, capsys):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    looks: list[int] = []
    with progress("ingest", 10, lambda: looks.append(1) or 12):
        _wait_for(lambda: len(looks) >= 2)
    shown = capsys.readouterr().err
    assert "10/10" in shown
    assert "12/10" not in shown
    assert shown.split("\r")[-1].strip() == ""


def test_an_error_of_the_work_comes_through():
    with pytest.raises(ZeroDivisionError), progress("ingest", 1, lambda: 0):
        raise ZeroDivisionError

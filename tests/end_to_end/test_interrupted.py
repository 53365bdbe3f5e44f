"""Ctrl-C: the command stops at once, says so in a line, and the next run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from ..stages.conftest import survey_pictures
from .conftest import COMMAND, closing_lines


def test_ctrl_c_stops_the_work_within_seconds_and_nothing_is_lost(irbis, tmp_path):
    for name, content in survey_pictures().items():
        (tmp_path / "survey" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "survey" / name).write_bytes(content)
    words = ["ingest", "--images", "survey", "--workspace", "w", "--set", "ingest.files_per_commit=20"]
    running = subprocess.Popen(
        [*COMMAND, *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    log = tmp_path / "w/tables/images/_delta_log"
    for _ in range(1200):  # until the first of nine commits
        if log.is_dir() and list(log.glob("*.json")):
            break
        time.sleep(0.1)
    start = time.monotonic()
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to all of them
    out, err = running.communicate(timeout=60)
    assert time.monotonic() - start < 30
    assert (running.returncode, out) == (130, "")
    assert err.split("\n\n")[-1].strip() == (
        "irbis: stopped. What was committed stays; the same command goes on from there."
    )
    assert "Traceback" not in err
    again = closing_lines(irbis(*words).stdout)["ingest"]
    read = int(again.removeprefix("ingest: ").partition(" ")[0])
    assert 0 < read <= 160

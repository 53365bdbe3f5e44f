"""Ctrl-C and SIGTERM stop a command at once, in one line; SIGKILL stops a watch; and the next one goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest

from pipelines.config.loader import load_settings
from pipelines.runs.history import RunHistory
from pipelines.workspace.lock import workspace_lock
from pipelines.workspace.tables import Tables

from ..stages.conftest import survey_images
from .conftest import COMMAND, closing_lines


def drawn(folder):
    for name, content in survey_images().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def begun(words, tmp_path, commits):
    """Return the command, running in a process group of its own, after this many commits."""
    running = subprocess.Popen(
        [*COMMAND, *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    log = tmp_path / "w/tables/images/_delta_log"
    while running.poll() is None:
        if log.is_dir() and len(list(log.glob("*.json"))) >= commits:
            return running
        time.sleep(0.1)
    raise AssertionError(running.communicate())


def test_ctrl_c_stops_the_work_and_nothing_is_lost(irbis, tmp_path):
    drawn(tmp_path / "survey")
    words = ["ingest", "--images", "survey", "--workspace", "w", "--set", "ingest.files_per_commit=45"]
    running = begun(words, tmp_path, commits=1)  # of four
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to all of them
    out, err = running.communicate()
    assert (running.returncode, out) == (130, "")
    assert err.split("\n\n")[-1].strip() == (
        "irbis: interrupted. Committed work is kept; run the same command again to resume."
    )
    assert "Traceback" not in err
    again = closing_lines(irbis(*words).stdout)["ingest"]
    read = int(again.removeprefix("ingest: ").partition(" ")[0])
    assert 0 < read <= 135


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["kill and Kubernetes", "systemd and YARN"])
def test_sigterm_leaves_the_records_and_ends_all_processes(tmp_path, send):
    drawn(tmp_path / "survey")
    words = ["ingest", "--images", "survey", "--workspace", "w", "--set", "ingest.files_per_commit=45"]
    running = begun(words, tmp_path, commits=1)
    send(running.pid, signal.SIGTERM)
    out, err = running.communicate()
    assert (running.returncode, out) == (143, "")
    assert err.split("\n\n")[-1].strip() == (
        "irbis: ended by SIGTERM. Committed work is kept; run the same command again to resume."
    )
    assert "Traceback" not in err
    (file,) = (tmp_path / "w/runs").glob("*/ingest.json")
    record = json.loads(file.read_text())
    assert (record["state"], record["error"], record["has_lost_spark"]) == ("stopped", "ended by SIGTERM", False)
    assert file.with_suffix(".log").read_text().splitlines()[-1] == "irbis: ended by SIGTERM."
    (entry,) = RunHistory(str(tmp_path / "ledger")).all()
    assert (entry.state, entry.outcome, bool(entry.ended)) == ("stopped", "ended by SIGTERM", True)
    with workspace_lock(str(tmp_path / "w")):
        pass
    while is_group_left(running.pid):  # Java and its workers end as soon as they see that they are alone
        time.sleep(0.1)


def is_group_left(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_a_watch_that_is_killed_goes_on_where_it_was_and_takes_nothing_twice(spark, tmp_path):
    drawn(tmp_path / "survey")
    words = ["ingest", "--watch", "--images", "survey", "--workspace", "w", "--set", "ingest.poll_seconds=1"]
    running = begun([*words, "--set", "ingest.files_per_commit=40"], tmp_path, commits=2)  # of five
    os.killpg(running.pid, signal.SIGKILL)
    assert running.communicate()[0] == ""
    rows = Tables.of(spark, load_settings(None, {"workspace": str(tmp_path / "w")})).read("images")
    before = rows.count()
    again = begun(words, tmp_path, commits=before // 40 + 1)
    line = again.stdout.readline()
    os.killpg(again.pid, signal.SIGINT)
    assert again.wait(60) == 130
    assert line.startswith(f"ingest: {180 - before} read, ")
    assert {row["count"] for row in rows.groupBy("path", "content_hash", "burst_id").count().collect()} == {1}
    assert rows.select("path").distinct().count() == 180

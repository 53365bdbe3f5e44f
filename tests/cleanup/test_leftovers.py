"""Leftovers in a workspace and in a home: found by name and age, and nothing else is removed."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from pipelines.cleanup import leftovers
from pipelines.cleanup.clean import WorkspaceCleaner
from pipelines.cleanup.leftovers import find_leftovers, last_changed, total_size
from pipelines.processes import Process
from pipelines.runs.history import FAILED, LOCAL, RUNNING, RunHistory, RunRecord

DAY = 86_400


def write(path: Path, size: int, days: float = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    age(path, days)
    return path


def age(path: Path, days: float) -> None:
    """Set the age of a file and its folder."""
    for each in (path, path.parent):
        os.utime(each, (time.time() - days * DAY,) * 2)


def never():
    raise AssertionError("Spark is not needed")


def kinds(settings):
    return {left.singular: sorted(path.name for path in left.paths) for left in find_leftovers(settings)}


def test_records_of_runs_go_when_they_have_ended_long_ago(make_settings, machine):
    settings = make_settings()
    runs, ledger = Path(settings.workspace, "runs"), RunHistory(settings.runs.history_dir)
    old, young, at_work, killed, killed_lately, two_stages = (f"run-20260101-12000{n}-0a1b" for n in range(6))
    for name, days in ((old, 31), (young, 29), (at_work, 31), ("exp1", 31)):
        write(runs / name / "run.log", 100, days)
        write(runs / name / "run.json", 20, days)
    write(runs / killed_lately / "run.log", 5, 6)
    write(runs / killed / "run.log", 7, 40)
    write(runs / two_stages / "ingest.json", 9, 40), write(runs / two_stages / "score.log", 9, 3)
    write(runs / "a file of somebody", 9, 400)
    (runs / "link").symlink_to(machine)
    started = "2026-01-01T00:00:00+00:00"
    for name, process in ((at_work, Process.of(os.getpid())), (old, Process.of(os.getppid()))):
        state = RUNNING if name == at_work else FAILED
        ledger.write(RunRecord(name, ("run",), LOCAL, {}, settings.workspace, "/", started, state, process=process))
    assert kinds(settings) == {"run folder": [old, killed]}
    before = {path: path.stat().st_mtime for path in runs.rglob("*")}
    assert list(WorkspaceCleaner(settings, dry_run=True).run(never)) == [
        "2 run folders, 127 bytes would be removed",
        "127 bytes would be freed",
    ]
    assert {path: path.stat().st_mtime for path in runs.rglob("*")} == before
    assert list(WorkspaceCleaner(settings).run(never)) == ["2 run folders, 127 bytes removed", "127 bytes freed"]
    assert {path.name for path in runs.iterdir()} == {
        *(young, at_work, killed_lately, two_stages),
        *("exp1", "a file of somebody", "link"),
    }
    assert list(WorkspaceCleaner(settings).run(never)) == ["0 bytes freed"]


def test_left_overs_go_when_they_are_old_and_nothing_else_does(make_settings, machine, monkeypatch):
    settings = make_settings()
    workspace, cache = Path(settings.workspace), machine / ".cache/irbis"
    own = machine / "tmp" / f"irbis-{os.getuid()}"
    gone = [
        write(workspace / "scratch/tmpab_12xyz/model", 11, 2).parent,
        write(workspace / "scratch/checkpoints/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f/rdd", 12, 2).parent,
        write(workspace / "sent/0a1b0a1b0a1b0a1b/labels.csv", 13, 31).parent,
        write(workspace / "reports/.report.html.7.draft", 14, 2),
        write(cache / "weights/graphs/resnet50-exact-0a1b0a1b0a1b0a1b/graph.xml", 15, 31).parent,
        write(cache / "weights/graphs/tmpxyz45678/graph.xml", 16, 2).parent,
        write(cache / "weights/resnet50.pth.0a.partial", 17, 2),
        write(cache / "classes/0a.jsa", 18, 31),
        write(own / "blockmgr-1/0a/rdd_1_0", 19, 2).parents[1],
        write(machine / "ledger/run-1/irbis.zip", 20, 31),
    ]
    blocks = gone[8]
    age(blocks / "0a", 2)
    kept = [
        write(workspace / "scratch/tmpab_12new/model", 1),
        write(workspace / "sent/2c2c2c2c2c2c2c2c/labels.csv", 1, 29),
        write(workspace / "reports/report.html", 1, 400),
        write(workspace / "reports/.report.html.8.draft", 1),
        write(workspace / "artifacts/1/model", 1, 400),
        write(workspace / "checkpoints/ingest-1/offsets", 1, 400),
        write(workspace / "mlflow.db", 1, 400),
        write(workspace / "scratch/my notes/a.txt", 1, 400),
        write(workspace / "sent/letters/a.txt", 1, 400),
        write(cache / "weights/graphs/my own/graph.xml", 1, 400),
        write(cache / "weights/graphs/used-fast-0a1b0a1b0a1b0a1b/graph.xml", 1, 29),
        write(cache / "weights/resnet50-0676ba61.pth", 1, 400),
        write(own / "somebody/file", 1, 400),
        write(own / "blockmgr-2/0a/rdd_1_0", 1),
        write(machine / "ledger/run-2/irbis.zip", 1, 31),
    ]
    started = "2026-01-01T00:00:00+00:00"
    for name, state in (("run-1", FAILED), ("run-2", RUNNING)):
        RunHistory(settings.runs.history_dir).write(RunRecord(name, ("run",), "yarn", {}, "/w", "/", started, state))
    total = sum(range(11, 21))
    assert list(WorkspaceCleaner(settings, dry_run=True).run(never))[-1] == f"{total} bytes would be freed"
    monkeypatch.setattr(leftovers, "oldest_java", lambda: time.time() - 3 * DAY)  # it may be using the blocks
    gone.remove(blocks)
    assert sorted(path for left in find_leftovers(settings) for path in left.paths) == sorted(gone)
    assert list(WorkspaceCleaner(settings).run(never))[-1] == f"{total - 19} bytes freed"
    assert not any(path.exists() for path in gone) and blocks.exists() and all(path.exists() for path in kept)


def test_the_queue_of_a_former_watch_goes_with_its_checkpoints(make_settings, machine):
    settings = make_settings()
    workspace = Path(settings.workspace)
    write(workspace / "checkpoints/ingest-0a1b0a1b0a1b0a1b/offsets/0", 21)
    write(workspace / "checkpoints/ingest-mine/0", 1)
    write(workspace / "tables/arrivals/part-0.parquet", 22, 400)
    (workspace / "tables/arrivals/_delta_log").mkdir()
    assert kinds(settings) == {"queue of a former version": ["arrivals", "ingest-0a1b0a1b0a1b0a1b"]}
    for leftover in find_leftovers(settings):
        for path in leftover.paths:
            leftover.remove(path)
    assert kinds(settings) == {}
    assert sorted(path.name for path in workspace.rglob("*")) == ["0", "checkpoints", "ingest-mine", "tables"]


def test_a_folder_that_cannot_be_removed_is_named_and_the_rest_goes(make_settings, monkeypatch):
    settings = make_settings()
    runs = Path(settings.workspace, "runs")
    first, second = (f"ingest-20260101-12000{n}-0a1b" for n in range(2))
    for name in (first, second):
        write(runs / name / "run.json", 10, 99)
    remove = shutil.rmtree

    def refused(path):
        if path.name == first:
            raise PermissionError(13, "Permission denied", str(path))
        remove(path)

    monkeypatch.setattr(leftovers.shutil, "rmtree", refused)
    assert list(WorkspaceCleaner(settings).run(never)) == [
        f"note: {runs}/{first} is not removed: Permission denied",
        "1 run folder, 10 bytes removed",
        "10 bytes freed",
    ]


def test_of_sparks_log_the_last_megabyte_stays(make_settings):
    settings = make_settings()
    log = Path(settings.workspace, "logs", "spark.log")
    log.parent.mkdir(parents=True)
    log.write_bytes(b"old\n" * 3 * 2**20 + b"the last line\n")
    size = log.stat().st_size
    with log.open("ab") as appending:  # as a JVM that runs does
        assert list(WorkspaceCleaner(settings).run(never))[-1] == f"{size - 2**20:,} bytes freed"
        appending.write(b"and one more\n")
    content = log.read_bytes()
    assert len(content) == 2**20 + 13 and content.endswith(b"old\nthe last line\nand one more\n")


def test_what_changes_while_it_is_looked_at_stays(make_settings, monkeypatch):
    settings = make_settings()
    write(Path(settings.workspace, "scratch/tmp01234567/y"), 1, 9)

    def vanished(path):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(leftovers, "last_changed", vanished)
    assert find_leftovers(settings) == []


def test_sizes_and_times_are_of_links_not_of_what_they_lead_to(tmp_path):
    write(tmp_path / "folder/file", 100, 5)
    (tmp_path / "folder/link").symlink_to(write(tmp_path / "large", 5000))
    os.utime(tmp_path / "folder", (time.time() - 5 * DAY,) * 2)
    os.utime(tmp_path / "folder/link", (time.time() - 4 * DAY,) * 2, follow_symlinks=False)
    assert total_size(tmp_path / "folder") < 1000
    assert last_changed(tmp_path / "folder") == pytest.approx(time.time() - 4 * DAY, abs=60)
    assert total_size(tmp_path / "large") == 5000

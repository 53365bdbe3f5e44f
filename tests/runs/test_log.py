"""The log of a run grows at bounded cost and is followed line by line, on any store."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pipelines.runs import log as log_module
from pipelines.runs.backends.workspace_files import WorkspaceFiles
from pipelines.runs.follow import LogTail
from pipelines.runs.log import LogFiles, RunLog


class Store:
    """A folder that records what is written to it."""

    def __init__(self, folder: Path):
        self.folder, self.writes = folder, []
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, name, text):
        self.writes.append((name, len(text)))
        (self.folder / name).write_text(text, "utf-8")

    def list_names(self):
        return [file.name for file in self.folder.iterdir()]

    def log(self, folder=None):
        return LogFiles("run", folder, self.write, self.list_names)


class CountingFiles(WorkspaceFiles):
    """Files that record how many bytes are read."""

    def __init__(self, settings):
        super().__init__(settings)
        self.read_bytes = []

    def read(self, address, start=0):
        content = super().read(address, start)
        self.read_bytes.append(len(content))
        return content


def test_a_local_log_is_appended_and_only_new_bytes_are_read(make_settings, tmp_path):
    store = Store(tmp_path / "run")
    log, files = store.log(store.folder), CountingFiles(make_settings())
    tail = LogTail(files, str(store.folder))
    for text, expected in (("one\ntw", "one\n"), ("o\nä", "two\n"), ("\n", "ä\n"), ("end", "")):
        log.append(text)
        assert tail.read_new() == expected
    assert tail.read_new(is_over=True) == "end"
    assert files.read_bytes == [6, 4, 1, 3] and store.writes == []
    assert store.list_names() == ["run.log"]


def test_a_store_that_cannot_append_gets_numbered_files_of_bounded_size(make_settings, tmp_path, monkeypatch):
    monkeypatch.setattr(log_module, "MAX_FILE_CHARS", 20)
    store = Store(tmp_path / "run")
    log, tail = store.log(), LogTail(WorkspaceFiles(make_settings()), str(store.folder))
    texts = [f"line {i}\nhalf" for i in range(12)]
    seen = ""
    for i, text in enumerate(texts):
        log.append(text)
        seen += tail.read_new() if i % 3 == 0 else ""
    assert seen + tail.read_new(is_over=True) == "".join(texts)
    assert max(size for _, size in store.writes) == 24
    assert {name for name, _ in store.writes} == {"run.log", *(f"run.{i}.log" for i in range(2, 7))}


@pytest.mark.parametrize("number", log_module.CANNOT_APPEND)
def test_a_folder_that_refuses_to_append_continues_in_the_next_file(tmp_path, monkeypatch, number):
    store = Store(tmp_path / "run")
    log = store.log(store.folder)
    log.append("first\n")
    real_open = Path.open

    def refuse(path, mode="r", **options):
        if "a" in mode:
            raise OSError(number, "cannot append")
        return real_open(path, mode, **options)

    monkeypatch.setattr(Path, "open", refuse)
    log.append("second\n"), log.append("third\n")
    assert (store.folder / "run.log").read_text() == "first\n"
    assert (store.folder / "run.2.log").read_text() == "second\nthird\n"
    store.log().append("another attempt\n")
    assert (store.folder / "run.3.log").read_text() == "another attempt\n"


def test_a_full_disk_is_an_error(tmp_path, monkeypatch):
    def fail(path, mode="r", **options):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(Path, "open", fail)
    store = Store(tmp_path / "run")
    with pytest.raises(OSError, match="full"):
        store.log(store.folder).append("x")
    assert store.writes == []


def test_logs_of_several_tasks_do_not_mix(make_settings, tmp_path):
    store = Store(tmp_path / "run")
    for name in ("ingest.log", "ingest.2.log", "ingest.10.log", "train.log", "x.json", "notes.txt"):
        store.write(name, f"{name}\n")
    tail = LogTail(WorkspaceFiles(make_settings()), str(store.folder))
    assert tail.read_new() == "ingest.log\ningest.2.log\ningest.10.log\ntrain.log\n"
    assert tail.read_new(is_over=True) == ""


def test_text_waits_for_a_store_that_cannot_be_reached_yet():
    got, is_reachable = [], False

    def append(text):
        if is_reachable:
            got.append(text)
        return is_reachable

    log = RunLog(append)
    log.add("one\n"), log.stop()
    is_reachable = True
    log.add("two\n"), log.stop(), log.stop()
    assert got == ["one\ntwo\n"]


def test_redrawn_progress_bars_are_left_out():
    written: list[str] = []
    log = RunLog(lambda text: not written.append(text))
    for text in ("a line\n", "\rfeaturize: 5 %", "the next\n"):
        log.add(text)
    log.stop()
    assert written == ["a line\nthe next\n"]

"""Data is flushed before the rename, and the rename before the function returns."""

from __future__ import annotations

import errno
import os

import pytest

from pipelines.atomic_write import sync, write_atomic
from pipelines.runs.history import RunHistory, RunRecord


@pytest.fixture
def calls(monkeypatch):
    """Return the recorded system calls, in order: (fsync, name) and (replace, name)."""
    seen = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor):
        seen.append(("fsync", os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))))
        fsync(descriptor)

    def replaced(old, new):
        seen.append(("replace", os.path.basename(new)))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    return seen


def test_a_file_is_synced_then_renamed_then_its_folder_is_synced(tmp_path, calls):
    write_atomic(tmp_path / "runs" / "run.json", b"new")
    draft = f".run.json.{os.getpid()}.draft"
    assert calls == [("fsync", draft), ("replace", "run.json"), ("fsync", "runs")]
    assert (tmp_path / "runs" / "run.json").read_bytes() == b"new"
    assert [each.name for each in (tmp_path / "runs").iterdir()] == ["run.json"]


def test_the_ledger_is_written_so_too(tmp_path, calls):
    RunHistory(str(tmp_path)).write(RunRecord("run-1", ("run",), "local", {}, "ws", "/", "2026-11-29T00:00:00+00:00"))
    assert [name for name, _ in calls] == ["fsync", "replace", "fsync"]


def test_a_disk_that_fails_keeps_the_old_file(tmp_path, monkeypatch):
    write_atomic(tmp_path / "a", b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_a_mounted_bucket_without_fsync_is_no_fault(tmp_path, monkeypatch):
    def unknown(descriptor):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", unknown)
    write_atomic(tmp_path / "a", b"new")
    sync(tmp_path)
    assert (tmp_path / "a").read_bytes() == b"new"

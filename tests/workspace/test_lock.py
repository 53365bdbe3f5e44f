"""One process at a time works in a workspace."""

from __future__ import annotations

import os

import pytest

from pipelines.errors import PlatformError
from pipelines.workspace import lock
from pipelines.workspace.hold import is_exclusive
from pipelines.workspace.lock import workspace_lock
from tests.holder import holder

HOLD = """
import sys, time
from pipelines.workspace.lock import workspace_lock
with workspace_lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.process
def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path):
    workspace = tmp_path / "work space" / "deep"
    with holder(HOLD, workspace) as first:
        with pytest.raises(PlatformError) as caught, workspace_lock(str(workspace)):
            raise AssertionError("two at once")
        assert str(caught.value) == (
            f"Process {first.pid} is working in {workspace}. Wait for it, or choose another --workspace."
        )
        first.kill()  # SIGKILL
        first.wait(60)
        with workspace_lock(str(workspace)):
            assert (workspace / ".lock").read_text() == str(os.getpid())


def test_a_lock_is_given_back_even_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), workspace_lock(str(tmp_path)):
        raise ZeroDivisionError
    with workspace_lock(str(tmp_path)), pytest.raises(PlatformError, match=f"Process {os.getpid()} is working"):
        workspace_lock(str(tmp_path)).__enter__()


def test_a_workspace_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(PlatformError, match=r"file/w cannot be written \(.*\)\. Choose another: --workspace DIR"),
        workspace_lock(str(tmp_path / "file" / "w")),
    ):
        pass


def test_a_workspace_in_the_cloud_is_not_locked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with workspace_lock("abfss://c@a.dfs.core.windows.net/x"), workspace_lock("abfss://c@a.dfs.core.windows.net/x"):
        assert list(tmp_path.iterdir()) == []


def test_a_workspace_on_a_volume_of_databricks_is_not_locked(tmp_path, monkeypatch):
    assert {"/Volumes/", "/dbfs/"} == set(lock.VOLUMES)
    monkeypatch.setattr(lock, "VOLUMES", (f"{tmp_path}/",))
    volume = tmp_path / "main" / "irbis_dev" / "files"
    with workspace_lock(str(volume)), workspace_lock(str(volume)):
        assert not volume.exists()


def test_a_file_system_without_locks_is_worked_in(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl", reason="needs flock")

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with workspace_lock(str(tmp_path)):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())
    assert lock.try_lock(0)


@pytest.mark.parametrize(
    "workspace, schema, expected",
    [("w", None, True), ("az://account/container/w", None, False), ("/Volumes/a/b/c", None, False), ("w", "s", False)],
)
def test_only_a_workspace_that_is_locked_is_emptied_at_once(make_settings, workspace, schema, expected):
    assert is_exclusive(make_settings({"workspace": workspace, "tables.schema": schema})) is expected

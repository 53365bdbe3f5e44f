"""Folders for temporary files, free space and full disks."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines import disk_space
from pipelines.disk_space import (
    explain_full_disk,
    find_folder_fault,
    find_temporary_folder,
    free_bytes,
    make_private_folder,
    require_space,
    user_temporary_folder,
)
from pipelines.errors import PlatformError


@pytest.fixture
def disks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, tuple[bool, int]]:
    """Return the simulated disks by folder prefix: mounted noexec, free bytes."""
    kinds: dict[str, tuple[bool, int]] = {}

    def statvfs(folder: object) -> SimpleNamespace:
        noexec, free = next((kind for name, kind in kinds.items() if str(folder).startswith(name)), (False, 2**40))
        return SimpleNamespace(
            f_flag=os.ST_NOEXEC if noexec else 0, f_blocks=0, f_bfree=0, f_bavail=free // 4096, f_frsize=4096
        )

    monkeypatch.setattr(os, "statvfs", statvfs)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "given"))
    (tmp_path / "given").mkdir()
    return kinds


def test_temporary_files_go_where_they_can_be_run_from(disks, tmp_path):
    workspace = str(tmp_path / "workspace")
    assert find_temporary_folder(workspace) == tmp_path / "given"
    disks[str(tmp_path / "given")] = (True, 2**40)
    assert find_temporary_folder(workspace) == Path("/tmp")
    disks["/tmp"] = (False, 2**20)
    disks.update({str(tmp_path / "home"): (False, 2**40)})
    disks.pop("/tmp"), disks.update({"/tmp": (False, 2**20)})  # the longer names first
    assert find_temporary_folder(workspace) == tmp_path / "home/.cache/irbis/tmp"


def test_without_any_such_folder_each_is_named_with_its_reason(disks, tmp_path):
    disks[str(tmp_path / "given")] = (True, 2**40)
    disks[str(tmp_path / "home")] = (True, 2**40)
    disks["/tmp"] = (False, 2**20)
    with pytest.raises(PlatformError) as caught:
        find_temporary_folder("abfss://c@a.dfs.core.windows.net/x")
    assert str(caught.value) == (
        f"No folder is usable for temporary files ({tmp_path}/given: mounted noexec; /tmp: 1 MB free, 64 MB needed; "
        f"{tmp_path}/home/.cache/irbis/tmp: mounted noexec). Free some space, or set TMPDIR to a usable folder."
    )


def test_a_variable_that_names_nothing_is_ignored(disks, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    assert find_temporary_folder("workspace") == Path("/tmp")
    assert not (tmp_path / "gone").exists()


def test_a_folder_that_cannot_be_written_says_why():
    assert find_folder_fault(Path("/proc/self")) != "" and find_folder_fault(Path(tempfile.gettempdir())) == ""


def test_free_space_of_a_folder_to_be_made_is_that_of_the_one_above(tmp_path):
    assert free_bytes(tmp_path / "a" / "b") == pytest.approx(free_bytes(tmp_path), rel=0.5)


def nested(cause: BaseException) -> BaseException:
    try:
        try:
            raise cause
        except type(cause) as error:
            raise ValueError("job aborted") from error
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    "cause",
    [
        OSError(28, "No space left on device"),
        RuntimeError("o1.save\nCaused by: java.io.IOException: No space left on device\n\tat x"),
        RuntimeError("(sqlite3.OperationalError) database or disk is full"),
    ],
)
def test_a_full_disk_is_found_at_any_depth_and_the_fullest_is_named(disks, tmp_path, cause, monkeypatch):
    workspace, temporary = tmp_path / "workspace", tmp_path / "temporary"
    workspace.mkdir(), temporary.mkdir()
    monkeypatch.setattr(disk_space.tempfile, "gettempdir", lambda: str(temporary))
    disks[str(workspace)] = (False, 2**20)
    assert str(explain_full_disk(nested(cause), str(workspace))) == (
        f"No space is left on the disk of {workspace} (1 MB free). Committed data is kept. Free some space there, "
        "or choose another folder (--workspace DIR); the same command then resumes."
    )
    disks[str(temporary)] = (False, 0)
    fault = str(explain_full_disk(nested(cause), str(workspace)))
    assert f"on the disk of {temporary} (0 MB free)" in fault and "(TMPDIR)" in fault


def test_other_errors_are_no_full_disk(tmp_path):
    assert explain_full_disk(nested(OSError(5, "Input/output error")), str(tmp_path)) is None


def test_too_little_room_is_refused_with_what_is_needed_and_free(disks, tmp_path):
    workspace, spark = tmp_path / "workspace", tmp_path / "spark"
    disks[str(tmp_path)] = (False, 300 * 2**20)
    require_space({workspace: 236 * 2**20}, "The commit")  # 64 MB stay
    with pytest.raises(PlatformError) as caught:
        require_space({workspace: 130 * 2**20, spark: 110 * 2**20}, "The commit", "take fewer, ")
    assert str(caught.value) == (
        f"The commit needs about 240 MB on the disk of {workspace} and {spark}, but only 300 MB are free (64 MB are "
        "kept in reserve). Nothing was written. Free some space (`irbis clean --dry-run` shows what it would free), "
        "take fewer, or choose another folder (--workspace DIR, "
        "TMPDIR for temporary files); the same command then resumes."
    )
    require_space({workspace: 0}, "Nothing")
    disks[str(tmp_path)] = (False, 0)  # of blocks it says 0 too: a bucket that is mounted
    require_space({workspace: 10**15}, "The commit")


def test_a_private_folder_is_made_or_closed_to_others(tmp_path):
    made = make_private_folder(tmp_path / "new" / "folder")
    assert (made, stat.S_IMODE(made.stat().st_mode)) == (tmp_path / "new" / "folder", 0o700)
    made.chmod(0o755)
    (made / "kept").touch()
    assert stat.S_IMODE(make_private_folder(made).stat().st_mode) == 0o700 and (made / "kept").exists()
    own = user_temporary_folder(tmp_path)
    assert (own.name, stat.S_IMODE(own.stat().st_mode)) == (f"irbis-{os.getuid()}", 0o700)


def test_what_another_user_laid_in_its_place_is_refused(tmp_path, monkeypatch):
    (tmp_path / "theirs").mkdir()
    link, file = tmp_path / "link", tmp_path / "file"
    link.symlink_to(tmp_path / "theirs")
    file.touch()
    for path in (link, file):
        with pytest.raises(PlatformError, match=rf"{path} is a link or a file, so it is not used\. .* set TMPDIR to"):
            make_private_folder(path)
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    with pytest.raises(PlatformError, match=r"theirs belongs to another user, so it is not used"):
        make_private_folder(tmp_path / "theirs")
    assert list((tmp_path / "theirs").iterdir()) == []

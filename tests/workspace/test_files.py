"""Small text files of a workspace, written atomically, in a folder and through Hadoop's file systems."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from pipelines.workspace import files
from pipelines.workspace.files import list_files, read_text, remove_folder, upload_file, write_text


@pytest.fixture(params=["", "file://"], ids=["a folder", "a URI"])
def anywhere(tables, request):
    """Return tables of one workspace, addressed as a folder and as a URI for Spark."""
    return dataclasses.replace(tables, workspace=f"{request.param}{tables.workspace}")


def names_in(tables) -> list[str]:
    folder = Path(tables.workspace.removeprefix("file://")) / "reports"
    return sorted(each.name for each in folder.iterdir() if not each.name.endswith(".crc"))


def test_a_written_file_replaces_the_old_one_and_leaves_no_draft(anywhere):
    assert read_text(anywhere, "reports/a.html") is None
    assert write_text(anywhere, "reports/a.html", "old") == f"{anywhere.workspace}/reports/a.html"
    write_text(anywhere, "reports/a.html", "<p>ä\r\n\n" * 30_000)
    assert read_text(anywhere, "reports/a.html") == "<p>ä\r\n\n" * 30_000
    assert names_in(anywhere) == ["a.html"]


def test_an_uploaded_file_replaces_the_old_one_and_leaves_no_draft(anywhere, tmp_path):
    (tmp_path / "b.csv").write_bytes(b"old,\n")
    assert upload_file(anywhere, tmp_path / "b.csv", "reports/a.csv") == f"{anywhere.workspace}/reports/a.csv"
    (tmp_path / "b.csv").write_bytes(b"\xff\0new,\n" * 200_000)
    upload_file(anywhere, tmp_path / "b.csv", "reports/a.csv")
    target = Path(anywhere.workspace.removeprefix("file://"), "reports", "a.csv")
    assert target.read_bytes() == (tmp_path / "b.csv").read_bytes() == b"\xff\0new,\n" * 200_000
    assert names_in(anywhere) == ["a.csv"]


def test_a_failed_write_keeps_the_old_file(anywhere):
    write_text(anywhere, "reports/a.html", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(anywhere, "reports/a.html", "\udcff")
    assert read_text(anywhere, "reports/a.html") == "old"
    assert names_in(anywhere) == ["a.html"]


@pytest.mark.parametrize("renamed", [0, 1], ids=["before the old file steps aside", "after it"])
def test_a_writer_that_is_killed_leaves_the_old_file_to_be_read(tables, monkeypatch, renamed):
    somewhere = dataclasses.replace(tables, workspace=f"file://{tables.workspace}")
    write_text(somewhere, "reports/a.html", "old")
    rename, calls = files._rename, []

    def killed(system, old, new):
        calls.append(new)
        if len(calls) > renamed:
            raise KeyboardInterrupt
        rename(system, old, new)

    monkeypatch.setattr(files, "_rename", killed)
    with pytest.raises(KeyboardInterrupt):
        write_text(somewhere, "reports/a.html", "new")
    assert len(calls) == renamed + 1
    assert read_text(somewhere, "reports/a.html") == "old"
    monkeypatch.setattr(files, "_rename", rename)
    write_text(somewhere, "reports/a.html", "newest")
    assert read_text(somewhere, "reports/a.html") == "newest"
    assert names_in(somewhere) == ["a.html"]


def test_a_file_that_cannot_get_its_name_is_no_loss(tables, monkeypatch):
    somewhere = dataclasses.replace(tables, workspace=f"file://{tables.workspace}")
    write_text(somewhere, "reports/a.html", "old")
    folder = Path(tables.workspace) / "reports"
    with monkeypatch.context() as patch:
        patch.setattr(files, "_rename", lambda system, old, new: (_ for _ in ()).throw(OSError("refused")))
        with pytest.raises(OSError, match="refused"):
            write_text(somewhere, "reports/a.html", "new")
    assert (folder / "a.html").read_text() == "old"


def test_files_of_the_cloud_are_listed_with_sizes_and_times_and_folders_go_as_a_whole(tables):
    away = dataclasses.replace(tables, workspace=f"file://{tables.workspace}")
    assert list_files(away, "runs") == []
    for name in ("runs/a/run.log", "runs/a/model/ä MLmodel", "runs/b/run.log"):
        write_text(away, name, "1234")
    found = {name: (size, abs(changed - time.time()) < 3600) for name, size, changed in list_files(away, "runs")}
    assert {name: found[name] for name in found if not name.endswith(".crc")} == dict.fromkeys(
        ["a/run.log", "a/model/ä MLmodel", "b/run.log"], (4, True)
    )
    remove_folder(away, "runs/a")
    assert {name.partition("/")[0] for name, _, _ in list_files(away, "runs")} == {"b"}

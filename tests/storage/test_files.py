"""Small text files of a workspace: whole or not at all, in a folder and through Hadoop's file systems."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pipelines.storage.files import read_text, write_text


@pytest.fixture(params=["", "file://"], ids=["a folder", "a URI"])
def anywhere(tables, request):
    """Give tables of one workspace, named as a folder and as what only Spark opens."""
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


def test_a_failed_write_keeps_the_old_file(anywhere):
    write_text(anywhere, "reports/a.html", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(anywhere, "reports/a.html", "\udcff")
    assert read_text(anywhere, "reports/a.html") == "old"
    assert names_in(anywhere) == ["a.html"]

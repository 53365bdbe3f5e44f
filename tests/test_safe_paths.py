"""Untrusted names: which ones are rejected, and that no path leaves its folder."""

from __future__ import annotations

import pytest

from pipelines.errors import DataError
from pipelines.safe_paths import find_dot_segment, find_name_fault, safe_join


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "the name is empty"),
        ("/etc/passwd", "the name is absolute"),
        ("//etc", "the name is absolute"),
        ("..", "the name has the segment '..'"),
        ("a/../../b", "the name has the segment '..'"),
        ("a/./b", "the name has the segment '.'"),
        ("a//b", "the name has an empty segment"),
        ("a/", "the name has an empty segment"),
        ("C:/a", "the name begins with a drive letter"),
        ("c:a", "the name begins with a drive letter"),
        ("a\\..\\b", "the name holds a backslash, which some systems take for a slash"),
        ("a\0b", "the name holds a NUL character"),
    ],
)
def test_a_name_that_may_lead_elsewhere_is_refused_with_its_reason(tmp_path, name, fault):
    assert find_name_fault(name) == fault
    with pytest.raises(DataError) as caught:
        safe_join(tmp_path, name)
    assert str(caught.value) == f"{name!r} is not written below {tmp_path}: {fault}."


@pytest.mark.parametrize("name", ["a", "a/b.jpg", "..a/b..", "...", "é/ #%2e%2e?.jpg", "12:30.jpg", ".hidden"])
def test_any_other_name_lies_below_the_folder(tmp_path, name):
    assert find_name_fault(name) is None and find_dot_segment(name) is None
    assert safe_join(tmp_path, name) == tmp_path / name


def test_a_backslash_makes_segments_too():
    assert find_dot_segment("a\\..\\b") == "the name has the segment '..'"


def test_a_link_in_the_folder_leads_nowhere_outside_it(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "folder" / "real").mkdir(parents=True)
    (tmp_path / "folder" / "out").symlink_to(tmp_path / "outside")
    (tmp_path / "folder" / "in").symlink_to(tmp_path / "folder" / "real")
    (tmp_path / "folder" / "file.txt").symlink_to(tmp_path / "outside" / "file.txt")
    for name in ("out/a.txt", "file.txt"):
        with pytest.raises(DataError, match="a symbolic link leads out of the folder"):
            safe_join(tmp_path / "folder", name)
    assert safe_join(tmp_path / "folder", "in/a.txt") == tmp_path / "folder" / "in" / "a.txt"
    (tmp_path / "alias").symlink_to(tmp_path / "folder")
    assert safe_join(tmp_path / "alias", "new/a.txt") == tmp_path / "alias" / "new" / "a.txt"

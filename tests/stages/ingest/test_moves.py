"""Moved and absent images, told from paths."""

from __future__ import annotations

import pytest

from pipelines.stages.ingest import removals


@pytest.mark.parametrize(
    "old, new, expected",
    [
        ("file:///a/survey/S1/1.jpg", "file:///a/2024/S1/1.jpg", "file:///a/survey/"),
        ("file:///a/survey/S1/1.jpg", "file:///b/survey/S1/1.jpg", "file:///a/"),
        ("file:///a/survey/1.jpg", "file:///a/2024/deep/1.jpg", "file:///a/survey/"),
        ("file:///1.jpg", "file:///a/1.jpg", "file:///"),
    ],
)
def test_what_was_renamed_is_what_two_paths_do_not_end_in(old, new, expected):
    moves = removals.Moves()
    moves.add([(old, new)], root="file:///elsewhere/")
    assert (moves.left_folders, moves.count, moves.first) == ({expected: 1}, 1, (old, new))


def test_only_what_this_machine_can_tell_is_absent(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "a.jpg").write_bytes(b"x")
    there = [f"file://{tmp_path}/a.jpg", f"file://{tmp_path}/link", "az://account/container/a.jpg", "file:///\0"]
    assert not any(map(removals.is_absent, there))
    assert all(map(removals.is_absent, [f"file://{tmp_path}/b.jpg", f"file://{tmp_path}/a.jpg/b.jpg"]))

"""A workspace that was moved or copied is used where it is."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import pytest

from pipelines.errors import ModelError
from pipelines.tracking.mlflow_client import Tracking
from pipelines.tracking.relocate import relocate_artifact_uris

pytestmark = pytest.mark.process

EXPERIMENT = "irbis"


def made(settings) -> tuple[Tracking, str]:
    """Return the tracking of a workspace with one run that has logged a text."""
    tracking = Tracking.of(settings)
    with tracking.run("train", {}) as run_id:
        tracking.log(texts={"note.txt": "first"})
    return tracking, run_id


def address(tracking: Tracking, run_id: str) -> str:
    return str(tracking.client.get_run(run_id).info.artifact_uri)


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_a_workspace_is_used_where_it_is_now(make_settings, tmp_path, move):
    old, new = tmp_path / "survey 1", tmp_path / "survey 1 of Kyrgyzstan"  # the old name begins the new one
    _, run_id = made(make_settings({"workspace": str(old)}))
    move(old, new)
    tracking = Tracking.of(make_settings({"workspace": str(new)}))
    assert address(tracking, run_id).startswith(f"{(new / 'artifacts').as_uri()}/")
    assert (new / "artifacts" / run_id / "artifacts" / "note.txt").read_text() == "first"
    with tracking.run("train", {}) as second:
        tracking.log(texts={"note.txt": "second"})
    assert (new / "artifacts" / second / "artifacts" / "note.txt").read_text() == "second"
    again = Tracking.of(make_settings({"workspace": str(new)}))
    assert address(again, run_id) == address(tracking, run_id)
    if move is shutil.copytree:
        assert not list(old.rglob(f"{second}*"))
        assert address(Tracking.of(make_settings({"workspace": str(old)})), run_id).startswith(old.as_uri() + "/")


def test_a_link_to_a_workspace_changes_nothing(make_settings, tmp_path):
    tracking, run_id = made(make_settings({"workspace": str(tmp_path / "survey")}))
    before = address(tracking, run_id)
    (tmp_path / "link").symlink_to(tmp_path / "survey")
    assert address(Tracking.of(make_settings({"workspace": str(tmp_path / "link")})), run_id) == before


def test_other_addresses_stay(make_settings, tmp_path):
    made(make_settings({"workspace": str(tmp_path / "survey")}))
    database = tmp_path / "survey/mlflow.db"
    near = (tmp_path / "survey/artifacts-of-others").as_uri()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE experiments SET artifact_location = ? WHERE name = 'Default'", (near,))
    relocate_artifact_uris(database, EXPERIMENT, tmp_path / "moved/artifacts")
    with closing(sqlite3.connect(database)) as connection:
        found = dict(connection.execute("SELECT name, artifact_location FROM experiments"))
    assert found == {"Default": near, EXPERIMENT: (tmp_path / "moved/artifacts").as_uri()}


def test_a_file_that_is_no_database_is_named(make_settings, tmp_path):
    (tmp_path / "survey").mkdir()
    (tmp_path / "survey/mlflow.db").write_bytes(b"SQLite form" * 100)
    with pytest.raises(ModelError, match=r"mlflow.db cannot be read \(file is not a database\). Restore it"):
        Tracking.of(make_settings({"workspace": str(tmp_path / "survey")}))

"""A killed process leaves a complete database of MLflow, or none."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pipelines.tracking import new_database
from pipelines.tracking.mlflow_client import Tracking

pytestmark = pytest.mark.process

HALF_MADE = "CREATE TABLE _alembic_tmp_experiments (experiment_id INTEGER NOT NULL)"


def execute(database: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def log_run(settings) -> str:
    with Tracking.of(settings).run("train", {}) as run_id:
        return str(run_id)


def names_of_runs(settings) -> list[str]:
    tracking = Tracking.of(settings)
    return [run.info.run_id for run in tracking.client.search_runs([tracking.experiment_id])]


@pytest.fixture(scope="module")
def complete(tmp_path_factory) -> Path:
    """Return a complete database without runs."""
    folder = tmp_path_factory.mktemp("complete")
    new_database.create_database(f"sqlite:///{folder}/mlflow.db", str(folder))
    return folder / "mlflow.db"


@pytest.fixture
def database(complete, tmp_path) -> Path:
    """Return a copy of it in the test's workspace."""
    (tmp_path / "workspace").mkdir()
    return Path(shutil.copy2(complete, tmp_path / "workspace"))


@pytest.mark.parametrize("step", ["_build", "sync", "_publish"])
def test_before_the_database_is_complete_there_is_none(make_settings, tmp_path, monkeypatch, step):
    settings = make_settings()

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(new_database, step, killed)
        Tracking.of(settings)
    assert not (tmp_path / "workspace/mlflow.db").exists()
    assert names_of_runs(settings) == []
    assert list((tmp_path / "workspace/scratch").iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [
        ["UPDATE alembic_version SET version_num = '0c779009ac13'", HALF_MADE],
        ["UPDATE alembic_version SET version_num = '0c779009ac13'"],
        ["DELETE FROM alembic_version"],
        ["DROP TABLE alembic_version", "DROP TABLE runs"],
    ],
)
def test_a_database_whose_creation_was_interrupted_is_created_again(make_settings, database, damage):
    execute(database, *damage)
    settings = make_settings()
    run_id = log_run(settings)
    assert names_of_runs(settings) == [run_id]


def test_the_newest_revision_is_that_of_a_complete_database(complete):
    assert new_database._newest_revision() == new_database._revision(complete)


def test_the_journal_of_an_interrupted_creation_is_not_applied_to_the_new_database(make_settings, database):
    database.with_name("mlflow.db-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(504))
    database.unlink()
    settings = make_settings()
    run_id = log_run(settings)
    assert names_of_runs(settings) == [run_id]


def test_a_database_with_a_run_is_never_created_again(make_settings, tmp_path):
    settings = make_settings()
    run_id = log_run(settings)
    execute(tmp_path / "workspace/mlflow.db", "UPDATE alembic_version SET version_num = '0c779009ac13'")
    new_database.create_database(f"sqlite:///{tmp_path}/workspace/mlflow.db", settings.workspace)
    with closing(sqlite3.connect(tmp_path / "workspace/mlflow.db")) as connection:
        assert connection.execute("SELECT run_uuid FROM runs").fetchall() == [(run_id,)]


def test_a_complete_database_without_runs_is_kept(complete, tmp_path):
    database = Path(shutil.copy2(complete, tmp_path))
    execute(database, "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'mine', 'active')")
    new_database.create_database(f"sqlite:///{database}", str(tmp_path))
    with closing(sqlite3.connect(database)) as connection:
        assert (7, "mine") in connection.execute("SELECT experiment_id, name FROM experiments").fetchall()


def test_a_database_that_another_process_has_created_meanwhile_is_kept(complete, tmp_path, monkeypatch):
    build, database = new_database._build, tmp_path / "mlflow.db"

    def slow(folder: Path) -> Path:
        found = build(folder)
        shutil.copy2(complete, database)
        execute(database, "UPDATE experiments SET name = 'theirs'")
        return found

    is_file = Path.is_file
    monkeypatch.setattr(new_database, "_build", slow)
    monkeypatch.setattr(Path, "is_file", lambda path: path != database and is_file(path))  # seen too early
    new_database.create_database(f"sqlite:///{database}", str(tmp_path))
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT name FROM experiments").fetchall() == [("theirs",)]


def test_a_database_elsewhere_is_created_in_one_step_too(make_settings, tmp_path):
    uri = f"sqlite:///{tmp_path}/else where/irbis.db"
    settings = make_settings({"tracking.uri": uri})
    run_id = log_run(settings)
    assert names_of_runs(settings) == [run_id]
    assert [path.name for path in (tmp_path / "else where").iterdir()] == ["irbis.db"]
    assert not (tmp_path / "workspace/scratch").exists()

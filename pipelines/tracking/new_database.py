"""Create MLflow's SQLite database in one step, so that a killed process leaves a complete one or none.

MLflow creates its tables in dozens of migrations that are not one transaction. After a kill among them, it can neither
finish them nor open the database.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import mlflow

from pipelines.atomic_write import sync
from pipelines.processes import temporary_folder
from pipelines.tracking.local_store import suppress_logging

_OF_VALUE = ("runs", "registered_models")  # tables that no other process fills again


def create_database(uri: str, workspace: str) -> None:
    """Create the SQLite database of a tracking URI if it is missing, or incomplete and without any run or model.

    It is built in a temporary folder, and gets its name when it is complete. Other URIs are left to MLflow.
    """
    match = re.fullmatch(r"sqlite:///([^?]+)", uri)
    if not match:
        return
    database, folder = Path(match[1]), Path(workspace).expanduser().absolute()
    if database.is_file() and (_is_used(database) or _revision(database) == _newest_revision()):
        return
    with temporary_folder(folder / "scratch" if database.parent == folder else database.parent) as scratch:
        complete = _build(scratch)
        sync(complete)
        if not database.is_file():
            _remove_journals(database)  # of a database that was deleted: SQLite would apply them to the new one
            _publish(complete, database)
        elif _revision(database) != _revision(complete):
            _remove_journals(database)
            os.replace(complete, database)
    sync(database.parent)


def _publish(complete: Path, database: Path) -> None:
    """Move a complete database into place, unless another process has created one meanwhile, and may be using it."""
    try:
        os.link(complete, database)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        os.replace(complete, database)


def _build(folder: Path) -> Path:
    """Return a complete database without runs, which no connection has open."""
    built, complete = folder / "built.db", folder / "complete.db"
    uri = f"sqlite:///{built}"
    with suppress_logging():  # MLflow 2 logs the creation of its tables at length
        mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri).search_experiments(max_results=1)
    # MLflow keeps its connection, whose journal is named after the file that it opened.
    with closing(sqlite3.connect(built)) as source, closing(sqlite3.connect(complete)) as target:
        source.backup(target)
    return complete


def _is_used(database: Path) -> bool:
    """Return whether a database has a run or a registered model, or cannot be read."""
    try:
        with closing(sqlite3.connect(database, timeout=60)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            return any(
                connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()
                for table in _OF_VALUE
                if table in tables
            )
    except sqlite3.DatabaseError:
        return True


def _revision(database: Path) -> str | None:
    """Return the last migration that was completed; None before the first."""
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(database, timeout=60)) as connection:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return row[0] if row else None
    return None


def _newest_revision() -> str:
    """Return the migration that this MLflow ends with: the one that no other follows."""
    folder = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    text = "\n".join(file.read_text("utf-8") for file in folder.glob("*.py"))
    followed = set(re.findall(r"^down_revision = [\"'](\w+)", text, re.MULTILINE))
    (newest,) = set(re.findall(r"^revision = [\"'](\w+)", text, re.MULTILINE)) - followed
    return newest


def _remove_journals(database: Path) -> None:
    for suffix in ("-journal", "-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)

"""MLflow's SQLite database in the workspace, used if no tracking server is set, and limits of MLflow's databases."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Lock

from pipelines.config.settings import Settings
from pipelines.errors import ModelError
from pipelines.spark.preflight import name_fault
from pipelines.tracking.model_files import SERVED_PATH, missing_files_message
from pipelines.tracking.relocate import relocate_artifact_uris, uri_to_path

MAX_DESCRIPTION = 5000  # characters of a version's description; PostgreSQL and MySQL refuse more

_CHAMPION_QUERY = """
    SELECT v.version, v.source, r.artifact_uri FROM registered_model_aliases a
    JOIN model_versions v ON v.name = a.name AND v.version = a.version JOIN runs r ON r.run_uuid = v.run_id
    WHERE a.alias = 'champion' AND a.name = ?
"""
_logging_lock = Lock()


def truncate_description(card: str) -> str:
    """Return a version's card, truncated after a complete line if it is longer than MAX_DESCRIPTION characters."""
    if len(card) <= MAX_DESCRIPTION:
        return card
    fence, rest = "\n```", "\n\nThe full card is in the run: model_card.md"
    kept = card[: MAX_DESCRIPTION - len(fence) - len(rest)].rpartition("\n")[0]
    return kept + (fence if kept.count("```") % 2 else "") + rest


@contextmanager
def explain_schema_mismatch(uri: str | None) -> Iterator[None]:
    """Raise ModelError with the remedy if the block opens a database made by another version of MLflow."""
    try:
        yield
    except Exception as error:  # of MLflow or alembic
        match = re.search(r"out-of-date database schema \(found version (\w+)|Can't locate revision", str(error))
        if not match:
            raise
        if match[1] and _has_migration(match[1]):
            which, remedy = "an older", f"Copy it, then upgrade it: {sys.executable} -m mlflow db upgrade {uri}"
        else:
            which, remedy = "a newer", "Upgrade MLflow (pip install -U mlflow), or use another --workspace"
        raise ModelError(f"{uri} was made by {which} version of MLflow than this one. {remedy}.") from error


def _has_migration(revision: str) -> bool:
    """Return whether this MLflow has a migration to a schema, according to the names of its migration files."""
    spec = importlib.util.find_spec("mlflow")
    folders = spec.submodule_search_locations if spec else None
    return any(any(Path(each).glob(f"store/db_migrations/versions/{revision}_*.py")) for each in folders or ())


def sqlite_tracking_uri(settings: Settings) -> str:
    """Return the URI of the SQLite database in the workspace; raise ModelError if that is not a local folder."""
    if "://" in settings.workspace:
        raise ModelError(
            f"tracking.uri is not set, and {settings.workspace} cannot hold an SQLite database. Set an MLflow server, "
            "or a local database: --set tracking.uri=sqlite:////home/me/irbis.db. Models are stored in the workspace."
        )
    folder = Path(settings.workspace).expanduser().absolute()
    if fault := name_fault(folder, None):
        raise ModelError(f"workspace = {str(folder)!r}: {fault} Choose another folder: --workspace DIR.")
    folder.mkdir(parents=True, exist_ok=True)
    _require_history(folder / "mlflow.db", folder / "artifacts")
    relocate_artifact_uris(folder / "mlflow.db", settings.tracking.experiment, folder / "artifacts")
    return f"sqlite:///{folder}/mlflow.db"


def require_champion_files(settings: Settings) -> None:
    """Raise ModelError if the workspace's own database, or files of its champion, are missing.

    Takes milliseconds, without MLflow and Spark. If a server is used, the stages themselves find missing files.
    """
    folder = Path(settings.workspace).expanduser().absolute()
    is_remote = settings.tracking.uri or "://" in settings.workspace or "DATABRICKS_RUNTIME_VERSION" in os.environ
    if is_remote or not folder.is_dir():
        return
    sqlite_tracking_uri(settings)
    name, database, row = settings.tracking.model, folder / "mlflow.db", None
    if database.is_file():
        with suppress(sqlite3.Error), closing(sqlite3.connect(database, timeout=60)) as connection:
            row = connection.execute(_CHAMPION_QUERY, (name,)).fetchone()
    version, source, artifact_uri = row or ("", "", "")
    if not source.startswith("runs:/") or not artifact_uri.startswith("file:"):
        return
    root = uri_to_path(artifact_uri)
    for file in (f"{source.split('/', 2)[2]}/MLmodel", "evaluation.json"):
        if not (root / file).is_file():
            raise ModelError(missing_files_message(f"{name}/{version}", file, str(root)))


def _require_history(database: Path, artifacts: Path) -> None:
    """Raise ModelError if there are models but no runs in the database, as MLflow would silently start a new one."""
    fault = _missing_history(database)
    found = artifacts.rglob("MLmodel") if fault else []
    models = sum(file.parent.name != SERVED_PATH for file in found)  # a version's served model is the same model
    was_emptied = fault == "is empty" and (database.parent / "tables/predictions/_delta_log").is_dir()
    if models or was_emptied:
        raise ModelError(
            f"{database} {fault}: it lists the models in {artifacts} ({models} there), and which of them is champion. "
            f"Restore it from a backup. To start again with the same tables, move it and {artifacts} away, and train "
            "under another name: --set tracking.model=NAME."
        )


def _missing_history(database: Path) -> str:
    """Return why a database has no runs; "" if it has some or cannot be read."""
    if not database.is_file():
        return "is missing"
    if not database.stat().st_size:
        return "is empty"
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(database, timeout=60)) as connection:
        has_runs = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs'").fetchone()
        if not has_runs or not connection.execute("SELECT 1 FROM runs").fetchone():
            return "has no runs"
    return ""


@contextmanager
def suppress_logging() -> Iterator[None]:
    """Disable log messages below WARNING in the block."""
    with _logging_lock:  # two threads at once would restore each other's level
        before = logging.root.manager.disable
        logging.disable(logging.INFO)
        try:
            yield
        finally:
            logging.disable(before)

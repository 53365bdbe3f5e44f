"""Read a model version from MLflow's SQLite database in the workspace, without importing MLflow (4 s)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from pipelines.config.settings import Settings
from pipelines.tracking.model_version import ModelVersion, Tags
from pipelines.tracking.relocate import uri_to_path

_VERSION = """
    SELECT v.version, v.run_id, v.creation_time, r.artifact_uri FROM model_versions v
    JOIN runs r ON r.run_uuid = v.run_id WHERE v.name = ?
"""
_BY_ALIAS = (
    "AND v.version = (SELECT a.version FROM registered_model_aliases a WHERE a.name = v.name AND a.alias = 'champion')"
)
_BY_NUMBER = "AND v.version = ?"
_ARTIFACTS = "SELECT artifact_uri FROM runs WHERE run_uuid = ?"
_TAGS = "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?"


def is_local_store(settings: Settings) -> bool:
    """Return whether the versions are in the workspace's own database."""
    return settings.tracking.uri is None and settings.tracking.registry_uri is None and "://" not in settings.workspace


def read_local_version(settings: Settings) -> ModelVersion | None:
    """Return the version of `score.model_version`, by default the champion; None if there is none.

    Raises sqlite3.Error if the database cannot be read or has other tables.
    """
    database = Path(settings.workspace).expanduser().absolute() / "mlflow.db"
    if not database.is_file():
        return None
    model, wanted = settings.tracking.model, settings.score.model_version
    query, arguments = (_BY_ALIAS, (model,)) if wanted == "champion" else (_BY_NUMBER, (model, int(wanted)))
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        row = connection.execute(_VERSION + query, arguments).fetchone()
        if row is None:
            return None
        version, run_id, created_at, artifact_uri = row
        tags = dict(connection.execute(_TAGS, (model, version)).fetchall())
    root = uri_to_path(artifact_uri)
    read = Tags(tags, lambda file: (root / file).read_text(encoding="utf-8"))
    return ModelVersion(model, str(version), run_id, int(created_at), read)


def local_artifact_root(settings: Settings, version: ModelVersion) -> Path | None:
    """Return the folder with the artifacts of a version's run; None if they are not in the workspace."""
    database = Path(settings.workspace).expanduser().absolute() / "mlflow.db"
    if not is_local_store(settings) or not database.is_file():
        return None
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        row = connection.execute(_ARTIFACTS, (version.run_id,)).fetchone()
    return uri_to_path(row[0]) if row and str(row[0]).startswith("file:") else None


def find_version(settings: Settings) -> ModelVersion | None:
    """Return the version of `score.model_version`; None if there is no such version.

    Without a server, MLflow is not imported.
    """
    if is_local_store(settings):
        try:
            return read_local_version(settings)
        except sqlite3.Error:
            pass  # of another version of MLflow, which knows its own tables
    from pipelines.tracking.mlflow_client import CHAMPION, Tracking

    tracking = Tracking.of(settings)
    wanted = settings.score.model_version
    return tracking.champion() if wanted == CHAMPION else tracking.get_version(wanted)

"""Update MLflow's absolute artifact URIs after a workspace was moved or copied."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from pipelines.errors import ModelError


def relocate_artifact_uris(database: Path, experiment: str, artifacts: Path) -> None:
    """Rewrite the URIs in MLflow's SQLite file if the artifacts of `experiment` have moved.

    Otherwise MLflow would read and write in the old folder, which is gone after a move and another workspace's after a
    copy. Raises ModelError if the file is not a database.
    """
    if not database.is_file():
        return
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        try:
            old = _artifact_location(connection, experiment)
            if old is None or uri_to_path(old).resolve() == artifacts.resolve():
                return
            with connection:  # all or nothing
                for table, column in _text_columns(connection):
                    connection.execute(
                        f'UPDATE "{table}" SET "{column}" = ? || substr("{column}", ?) '
                        f'WHERE "{column}" = ? OR substr("{column}", 1, ?) = ?',
                        (artifacts.as_uri(), len(old) + 1, old, len(old) + 1, f"{old}/"),
                    )
        except sqlite3.DatabaseError as error:
            raise ModelError(
                f"{database} cannot be read ({error}). Restore it from a backup. To start again with the same tables, "
                f"move it and {artifacts} away, and train under another name: --set tracking.model=NAME."
            ) from error


def _artifact_location(connection: sqlite3.Connection, experiment: str) -> str | None:
    """Return the artifact URI of the experiment; None if there is no experiment or the URI is not a local folder."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
        return None
    row = connection.execute("SELECT artifact_location FROM experiments WHERE name = ?", (experiment,)).fetchone()
    return str(row[0]) if row and str(row[0]).startswith("file:") else None


def _text_columns(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return (table, column) of all text columns, as those with URIs differ between versions of MLflow."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    described = ((table, connection.execute(f'PRAGMA table_info("{table}")')) for table in tables)
    return [(table, row[1]) for table, rows in described for row in rows if "CHAR" in row[2] or "TEXT" in row[2]]


def uri_to_path(address: str) -> Path:
    """Return the local folder of an artifact URI."""
    return Path(url2pathname(urlparse(address).path))

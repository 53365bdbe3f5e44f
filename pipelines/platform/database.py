"""MLflow's database: SQLite in the workspace, where the settings name no server; and what any of them can hold."""

from __future__ import annotations

import importlib.util
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from pipelines.errors import ModelError
from pipelines.platform.environment import name_fault
from pipelines.platform.moved import follow_workspace
from pipelines.settings import Settings

DESCRIPTION = 5000  # characters of a version's description; PostgreSQL and MySQL refuse more

_silence = Lock()


def description(card: str) -> str:
    """Give a version's card, cut after a whole line where it is longer than the database takes."""
    if len(card) <= DESCRIPTION:
        return card
    fence, rest = "\n```", "\n\nThe rest stands in the run: model_card.md"
    kept = card[: DESCRIPTION - len(fence) - len(rest)].rpartition("\n")[0]
    return kept + (fence if kept.count("```") % 2 else "") + rest


@contextmanager
def fitting_schema(uri: str | None) -> Iterator[None]:
    """Raise ModelError with the remedy where the block finds a database that another version of MLflow has made."""
    try:
        yield
    except Exception as error:  # MLflow's own kind, or alembic's
        if not (
            found := re.search(r"out-of-date database schema \(found version (\w+)|Can't locate revision", str(error))
        ):
            raise
        if found[1] and _is_known(found[1]):
            which, remedy = "an older", f"Copy it, then upgrade it: {sys.executable} -m mlflow db upgrade {uri}"
        else:
            which, remedy = (
                "a newer",
                "Use that version here too (pip install -U mlflow), or another --workspace",
            )
        raise ModelError(f"{uri} was made by {which} version of MLflow than this one. {remedy}.") from error


def _is_known(revision: str) -> bool:
    """Return whether this MLflow has a migration to a schema, by the names of its files."""
    spec = importlib.util.find_spec("mlflow")
    folders = spec.submodule_search_locations if spec else None
    return any(any(Path(each).glob(f"store/db_migrations/versions/{revision}_*.py")) for each in folders or ())


def own_database(settings: Settings) -> str:
    """Give the address of SQLite in the workspace; raise ModelError where the workspace is no folder."""
    if "://" in settings.workspace:
        raise ModelError(
            f"tracking.uri is not set, and SQLite cannot live in {settings.workspace}. Name an MLflow server, or a "
            "database elsewhere: --set tracking.uri=sqlite:////home/me/irbis.db. Models go to the workspace."
        )
    folder = Path(settings.workspace).expanduser().absolute()
    if fault := name_fault(folder, None):
        raise ModelError(f"workspace = {str(folder)!r}: {fault} Choose another folder: --workspace DIR.")
    folder.mkdir(parents=True, exist_ok=True)
    follow_workspace(folder / "mlflow.db", settings.tracking.experiment, folder / "artifacts")
    return f"sqlite:///{folder}/mlflow.db"


@contextmanager
def quiet() -> Iterator[None]:
    """Let nobody log below a warning."""
    with _silence:  # two at once would each put back what they found, and the last to leave the silence of the other
        before = logging.root.manager.disable
        logging.disable(logging.INFO)
        try:
            yield
        finally:
            logging.disable(before)

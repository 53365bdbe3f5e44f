"""MLflow's database: SQLite in the workspace, where the settings name no server; and what any of them can hold."""

from __future__ import annotations

from pathlib import Path

from pipelines.errors import ModelError
from pipelines.platform.moved import follow_workspace
from pipelines.settings import Settings

DESCRIPTION = 5000  # characters of a version's description; PostgreSQL and MySQL refuse more


def description(card: str) -> str:
    """Give a version's card, cut after a whole line where it is longer than the database takes."""
    if len(card) <= DESCRIPTION:
        return card
    fence, rest = "\n```", "\n\nThe rest stands in the run: model_card.md"
    kept = card[: DESCRIPTION - len(fence) - len(rest)].rpartition("\n")[0]
    return kept + (fence if kept.count("```") % 2 else "") + rest


def own_database(settings: Settings) -> str:
    """Give the address of SQLite in the workspace; raise ModelError where the workspace is no folder."""
    if "://" in settings.workspace:
        raise ModelError(
            f"tracking.uri is not set, and SQLite cannot live in {settings.workspace}. Name an MLflow server, or a "
            "database elsewhere: --set tracking.uri=sqlite:////home/me/irbis.db. Models go to the workspace."
        )
    folder = Path(settings.workspace).expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    follow_workspace(folder / "mlflow.db", settings.tracking.experiment, folder / "artifacts")
    return f"sqlite:///{folder}/mlflow.db"

"""The places that runs are sent to, each one file; `target` gives one by its name."""

from __future__ import annotations

import importlib

from pipelines.errors import SettingsError
from pipelines.platform.ledger import LOCAL
from pipelines.platform.targets.target import Target
from pipelines.settings import Settings

NAMES = ("databricks",)


def target(name: str, settings: Settings) -> Target:
    """Give the target of that name, `local` included. Raises SettingsError for another."""
    if name not in (*NAMES, LOCAL):
        raise SettingsError(f"--on {name}: there is no such place. Known: {', '.join(NAMES)}.")
    found: Target = importlib.import_module(f"pipelines.platform.targets.{name}").connect(settings)
    return found

"""The places that runs are sent to, each one file; `target` gives one by its name."""

from __future__ import annotations

import importlib
import re

from pipelines.config.settings import Settings
from pipelines.errors import SettingsError
from pipelines.runs.backends.base import Backend, WorkspaceFiles
from pipelines.runs.history import LOCAL

NAMES = "databricks, hdinsight, or a Spark master: yarn, spark://HOST:PORT, k8s://https://HOST:PORT"
_MODULES = {  # of what a name looks like
    LOCAL: "local",
    "databricks": "databricks",
    "hdinsight": "livy",
    r"yarn|spark://.+|k8s://.+|local\[.+\]": "spark_submit",
}


def get_backend(name: str, settings: Settings, files: WorkspaceFiles | None = None) -> Backend:
    """Give the target of that name, `local` included. Raises SettingsError for another.

    `files` reaches the workspace, where a target has no way of its own.
    """
    module = next((module for pattern, module in _MODULES.items() if re.fullmatch(pattern, name)), None)
    if not module:
        raise SettingsError(f"--on {name}: there is no such place. Known: {NAMES}.")
    found: Backend = importlib.import_module(f"pipelines.runs.backends.{module}").create(name, settings, files)
    return found

"""Registry of the backends: `get_backend` returns one by its name."""

from __future__ import annotations

import importlib
import re

from pipelines.config.settings import Settings
from pipelines.errors import SettingsError
from pipelines.runs.backends.base import Backend, WorkspaceFiles
from pipelines.runs.history import LOCAL

NAMES = "databricks, hdinsight, or a Spark master: yarn, spark://HOST:PORT, k8s://https://HOST:PORT"
_MODULES = {  # pattern of the name -> module
    LOCAL: "local",
    "databricks": "databricks",
    "hdinsight": "livy",
    r"yarn|spark://.+|k8s://.+|local\[.+\]": "spark_submit",
}


def get_backend(name: str, settings: Settings, files: WorkspaceFiles | None = None) -> Backend:
    """Return the backend of a name, `local` included. Raises SettingsError if there is none.

    `files` gives access to the workspace, for backends that have none of their own.
    """
    module = next((module for pattern, module in _MODULES.items() if re.fullmatch(pattern, name)), None)
    if not module:
        raise SettingsError(f"--on {name}: there is no such backend. Known: {NAMES}.")
    backend: Backend = importlib.import_module(f"pipelines.runs.backends.{module}").create(name, settings, files)
    return backend

"""Registry of the backends: `get_backend` returns one by its name. A new backend is a new file in this folder.

Each backend file defines PATTERN (a regular expression for its names), EXAMPLES (its names as an error lists them;
empty for a backend that nobody submits to) and `create(name, settings, files) -> Backend`.
"""

from __future__ import annotations

import re
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from pipelines.config.settings import Settings
from pipelines.errors import SettingsError
from pipelines.runs import backends
from pipelines.runs.backends.base import Backend, WorkspaceFiles


def get_backend(name: str, settings: Settings, files: WorkspaceFiles | None = None) -> Backend:
    """Return the backend of a name, `local` included. Raises SettingsError if there is none.

    `files` gives access to the workspace, for backends that have none of their own.
    """
    module = next((module for module in _backend_modules() if re.fullmatch(module.PATTERN, name)), None)
    if not module:
        raise SettingsError(f"--on {name}: there is no such backend. Known: {known_backends()}.")
    backend: Backend = module.create(name, settings, files)
    return backend


def known_backends() -> str:
    """Return the names that runs can be submitted to, as a message lists them."""
    *names, last = (module.EXAMPLES for module in _backend_modules() if module.EXAMPLES)
    return f"{', '.join(names)}, or {last}"


def _backend_modules() -> list[Any]:
    names = sorted(found.name for found in iter_modules(backends.__path__))
    modules = [import_module(f"{backends.__name__}.{name}") for name in names]
    return [module for module in modules if hasattr(module, "PATTERN")]

"""Registry of the formats: `all_formats` returns them by name. A new format is a new file in this folder.

Each format's file defines FORMAT, a `Format`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from pipelines.errors import DataError, SettingsError
from pipelines.exchange import formats
from pipelines.exchange.formats.base import Format


def all_formats() -> dict[str, Format]:
    """Return every format by its name, in alphabetical order."""
    names = sorted(found.name for found in iter_modules(formats.__path__))
    modules = [import_module(f"{formats.__name__}.{name}") for name in names]
    found = [module.FORMAT for module in modules if hasattr(module, "FORMAT")]
    return {each.name: each for each in sorted(found, key=lambda each: each.name)}


def get_format(name: str) -> Format:
    """Return the format of a name. Raises SettingsError if there is none."""
    known = all_formats()
    if name not in known:
        raise SettingsError(f"There is no format {name}. Known: {', '.join(known)}.")
    return known[name]


def detect_format(file: Path) -> Format:
    """Return the format of a file or folder, judged by its content. Raises DataError if no format or several match."""
    found = [each for each in all_formats().values() if each.read and each.matches and each.matches(file)]
    if len(found) == 1:
        return found[0]
    known = [each.name for each in found or all_formats().values() if each.read]
    reason = "may be in several formats" if found else "is in no format that irbis reads"
    raise DataError(f"{file} {reason}. Name the format: --format {' or '.join(known)}.")

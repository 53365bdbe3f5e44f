"""Where images come from. A new kind of place is a new file in this folder.

Each file names its SCHEMES (what stands before the colon of an address; empty for a plain path) and has
`create_source(address, settings) -> Source`.
"""

from __future__ import annotations

import re
from importlib import import_module
from pkgutil import iter_modules

from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.schemas import SourceFile
from pipelines.sources import stores
from pipelines.sources.base import Source

__all__ = ["Source", "SourceFile", "open_source"]


def open_source(settings: Settings) -> Source:
    """Give the source behind settings.sources.images. Raises DataError or AccessError where there is none, at once."""
    address = settings.sources.images
    if not address:
        raise DataError("sources.images is not set. Give a folder of images or a container: --images DIR.")
    match = re.match(r"([a-z][a-z0-9+.-]+):/", address)  # a letter alone is a Windows drive
    scheme = match[1] if match else ""
    known = []
    for found in iter_modules(stores.__path__):
        kind = import_module(f"{stores.__name__}.{found.name}")
        if scheme in getattr(kind, "SCHEMES", ()):
            source: Source = kind.create_source(address, settings)
            return source
        known += [f"{name}:" for name in getattr(kind, "SCHEMES", ()) if name]
    plain = address.partition("?")[0]  # what follows may be a secret
    raise DataError(f"sources.images = {plain}: '{scheme}:' is not known. Give a folder, or one of {', '.join(known)}.")

"""Open the source of images that the settings name. A new kind of source is a new file in `stores`.

Each file defines SCHEMES (the URI schemes it reads; empty for a plain path) and
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
    """Return the source in settings.sources.images. Raises DataError or AccessError at once if it cannot be opened."""
    address = settings.sources.images
    if not address:
        raise DataError("sources.images is not set. Give a folder of images or a container: --images DIR.")
    match = re.match(r"([a-z][a-z0-9+.-]+):/", address)  # a single letter is a Windows drive
    scheme = match[1] if match else ""
    schemes = []
    for module in iter_modules(stores.__path__):
        store = import_module(f"{stores.__name__}.{module.name}")
        if scheme in getattr(store, "SCHEMES", ()):
            source: Source = store.create_source(address, settings)
            return source
        schemes += [f"{name}:" for name in getattr(store, "SCHEMES", ()) if name]
    plain = address.partition("?")[0]  # the query may contain a secret
    raise DataError(
        f"sources.images = {plain}: unknown scheme '{scheme}:'. Give a folder, or one of {', '.join(schemes)}."
    )

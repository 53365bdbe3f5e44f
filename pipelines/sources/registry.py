"""Open the source of images that the settings name. A new kind of source is a new file in `stores`.

Each file defines SCHEMES (the URI schemes it reads; empty for a plain path), `create_source(address, settings) ->
Source`, `root_of(address) -> str`: the source's root, without opening it, and
`path_below(address, root) -> str | None`: the path of a location below a source's root. A store that can hold
workspaces also defines `list_files`, `read_file` and `write_file`, as azure_blob does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.schemas import SourceFile
from pipelines.sources import stores
from pipelines.sources.base import Source

__all__ = ["Source", "SourceFile", "open_source"]


def open_source(settings: Settings) -> Source:
    """Return the source in settings.sources.images. Raises DataError or AccessError if it cannot be opened."""
    address = settings.sources.images
    if not address:
        raise DataError("sources.images is not set. Give a folder of images or a container: --images DIR.")
    store = find_store(address)
    if store:
        source: Source = store.create_source(address, settings)
        return source
    plain = address.partition("?")[0]  # the query may contain a secret
    schemes = [f"{name}:" for store in _stores() for name in store.SCHEMES if name]
    raise DataError(
        f"sources.images = {plain}: unknown scheme '{_scheme(address)}:'. Give a folder, or one of "
        f"{', '.join(schemes)}."
    )


def find_root(address: str) -> str | None:
    """Return the common prefix of the paths of the images at an address, which is not opened; None: unknown scheme."""
    store = find_store(address)
    return str(store.root_of(address)) if store else None


def find_store(address: str) -> Any:
    """Return the module in `stores` that reads a path or URI; None for an unknown scheme."""
    scheme = _scheme(address)
    return next((store for store in _stores() if scheme in store.SCHEMES), None)


def _scheme(address: str) -> str:
    match = re.match(r"([a-z][a-z0-9+.-]+):/", address)  # a single letter is a Windows drive
    return match[1] if match else ""


def _stores() -> Iterator[Any]:
    for module in iter_modules(stores.__path__):
        yield import_module(f"{stores.__name__}.{module.name}")

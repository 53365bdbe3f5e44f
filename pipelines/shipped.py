"""Folders of files that ship with the package: conf, jobs, deploy and weights."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.abc import Traversable


def resource_dir(name: str) -> Path:
    """Find a folder that ships with the package: inside the installed package, else beside it in a checkout.

    A package that is read out of a zip, as `spark-submit --py-files` has it, holds no folders: there the asked one is
    unpacked, once a process.
    """
    package = resources.files("pipelines")
    if not isinstance(package, Path):
        return _unpacked(name)
    return package / name if (package / name).is_dir() else package.parent / name


@cache
def _unpacked(name: str) -> Path:
    _copy(resources.files("pipelines").joinpath(*name.split("/")), _place() / name)
    return _place() / name


@cache
def _place() -> Path:
    place = Path(tempfile.mkdtemp(prefix="irbis-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


def _copy(source: Traversable, target: Path) -> None:
    target.mkdir(parents=True)
    for each in source.iterdir():
        if each.is_dir():
            _copy(each, target / each.name)
        else:
            (target / each.name).write_bytes(each.read_bytes())

"""Data files of the package: conf, jobs, notebooks, the Databricks bundle and weights."""

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


DATA = "_data"  # conf, jobs and notebooks are there in a wheel only, weights in a checkout too


def resource_dir(name: str) -> Path:
    """Return a folder of data files: `_data` of the installed package, else the folder beside it in a checkout.

    A package that is imported from a zip (`spark-submit --py-files`) has no folders on disk: the folder is unpacked,
    once per process, and removed at exit.
    """
    package = resources.files("pipelines")
    if not isinstance(package, Path):
        return _unpack(name)
    packaged = package / DATA / name
    return packaged if packaged.is_dir() else package.parent / name


@cache
def _unpack(name: str) -> Path:
    packed = resources.files("pipelines").joinpath(DATA, *name.split("/"))
    if packed.is_dir():  # the code of a served model comes without data
        _copy(packed, _unpack_dir() / name)
    return _unpack_dir() / name


@cache
def _unpack_dir() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="irbis-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _copy(source: Traversable, target: Path) -> None:
    target.mkdir(parents=True)
    for each in source.iterdir():
        if each.is_dir():
            _copy(each, target / each.name)
        else:
            (target / each.name).write_bytes(each.read_bytes())

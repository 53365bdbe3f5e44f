"""Doctor: look at what irbis stands on, and say of each thing that it is well or what to do."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipelines.errors import UserError
from pipelines.models.backbones import backbones_of
from pipelines.models.backbones.devices import gpu_names
from pipelines.platform.jvm import find_java
from pipelines.platform.managed import is_managed
from pipelines.platform.session import get_session
from pipelines.settings import Settings
from pipelines.storage.tables import Tables

PACKAGES = ("pyspark", "delta-spark", "pandas", "pyarrow", "torch", "torchvision", "pillow", "mlflow-skinny")
ENOUGH_MEMORY = 4  # GiB: a JVM of 2 and two workers of half a gigabyte each


@dataclass(frozen=True)
class Finding:
    """Hold one thing looked at; `detail` says what was found, or what is wrong and what to do."""

    name: str
    is_ok: bool
    detail: str

    def line(self) -> str:
        return f"{'ok  ' if self.is_ok else 'FAIL'}  {self.name:10}  {self.detail}"


def examine(settings: Settings, *, verbose: bool = False) -> list[Finding]:
    """Give all findings; nothing is changed but a probe file in the workspace, which is removed again."""
    return [
        _finding("python", _python),
        _finding("java", _java),
        *[_finding(name, partial(importlib.metadata.version, name)) for name in PACKAGES],
        _finding("memory", _memory),
        _finding("gpu", lambda: ", ".join(gpu_names()) or "none: features are computed on the CPU"),
        _finding("weights", lambda: _weights(settings)),
        _finding("workspace", lambda: _writable(settings.workspace)),
        _finding("cache", lambda: _writable(settings.featurize.weights_cache)),
        _finding("spark", lambda: _spark(settings, verbose)),
    ]


def _finding(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look())
    except UserError as error:
        return Finding(name, False, str(error))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, False, f"not installed: pip install {name}")


def _python() -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    if not (3, 10) <= sys.version_info[:2] <= (3, 12):
        raise UserError(f"{version} at {sys.executable}: irbis needs 3.10 to 3.12.")
    return f"{version} at {sys.executable}"


def _java() -> str:
    java = find_java()
    return f"{java.version} from {java.source} ({java.home})"


def _memory() -> str:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return "cannot be told on this system"
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    if size < ENOUGH_MEMORY:
        raise UserError(f"{size:.1f} GiB, {ENOUGH_MEMORY} wanted: lower spark.driver_memory, spark.master=local[1].")
    return f"{size:.1f} GiB, {os.cpu_count()} cores"


def _weights(settings: Settings) -> str:
    return ", ".join(each.identity for each in backbones_of(settings))


def _writable(place: str) -> str:
    if "://" in place:
        return f"{place} (not probed)"
    folder = Path(place).expanduser().absolute()
    probe = folder / f".probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}. Choose another.") from error
    return str(folder)


def _spark(settings: Settings, verbose: bool) -> str:
    spark = get_session(settings, verbose=verbose, is_brief=True)
    state = "has tables" if Tables.of(spark, settings).exists("images") else "no tables yet"
    where = "the running session" if is_managed() else settings.spark.master
    return f"{spark.version} on {where} with Delta; {state}"

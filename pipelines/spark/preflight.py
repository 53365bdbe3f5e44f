"""Preflight checks of this machine before a run: folders, modules, environment variables, limits.

Each check returns its faults as sentences. `irbis doctor` prints them; a run does not start if there are any.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from pipelines.config.settings import Settings
from pipelines.disk_space import RESERVED_BYTES, find_folder_fault, find_temporary_folder, format_megabytes, free_bytes
from pipelines.errors import PlatformError
from pipelines.spark.launch import utf8_locale
from pipelines.spark.runtime import is_external_session
from pipelines.spark.shadowing import current_folder_faults, python_path_faults

MIN_OPEN_FILES = 1024  # Java keeps Spark's 250 jars open
MLFLOW_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID")


def require_usable_machine(settings: Settings, *, needs_space: bool = True) -> None:
    """Raise PlatformError with all faults of this machine that would make a run fail, unless Spark is already running.

    Takes milliseconds and leaves nothing behind. Without `needs_space` a full disk is no fault, as for `irbis clean`.
    """
    faults = [*managed_faults()]
    if not is_external_session():
        for check in CHECKS.values():
            faults += workspace_faults(settings, needs_space) if check is workspace_faults else check(settings)
    if faults:
        raise PlatformError(dict.fromkeys(faults))


def managed_faults(databricks: Path = Path("/databricks")) -> list[str]:
    """Return a fault if DATABRICKS_RUNTIME_VERSION is set outside Databricks."""
    version = os.environ.get("DATABRICKS_RUNTIME_VERSION")
    if version is None or "PYSPARK_GATEWAY_PORT" in os.environ or databricks.exists() or _has_session():
        return []
    return [
        f"DATABRICKS_RUNTIME_VERSION={version} is set, but this is not a Databricks cluster: there is no "
        f"{databricks}. Unset it: unset DATABRICKS_RUNTIME_VERSION."
    ]


def _has_session() -> bool:
    pyspark = sys.modules.get("pyspark.sql")
    return bool(pyspark and pyspark.SparkSession.getActiveSession())


def module_faults(settings: Settings) -> list[str]:
    """Return faults of PYTHONPATH and the current folder, if modules there hide modules that irbis needs."""
    faults = python_path_faults(os.environ.get("PYTHONPATH", ""))
    return faults or current_folder_faults(sys.version_info[:2])


def workspace_faults(settings: Settings, needs_space: bool = True) -> list[str]:
    """Return the faults of a local workspace; creates nothing."""
    if "://" in settings.workspace:
        return []
    try:
        folder = Path(settings.workspace).expanduser().absolute()
    except RuntimeError:
        return [
            f"workspace = {settings.workspace}: there is no user of that name. Use an absolute path: --workspace DIR."
        ]
    if fault := folder_fault(folder):
        return [f"workspace = {folder} {fault} Choose another: --workspace DIR."]
    named = repr(str(folder))
    if bad := name_fault(folder, settings.tracking.uri):
        return [f"workspace = {named}: {bad} Choose another folder: --workspace DIR."]
    if not str(folder).isascii() and utf8_locale() is None:
        return [
            f"workspace = {named}: this machine has no UTF-8 locale, without which Java cannot write that name. "
            "Install one (C.UTF-8), or choose a folder with an ASCII name: --workspace DIR."
        ]
    if needs_space and (free := free_bytes(folder)) < RESERVED_BYTES:
        return [
            f"workspace = {folder}: its disk has {format_megabytes(free)} left. A run needs "
            f"{format_megabytes(RESERVED_BYTES)} besides the bytes of the images, which are stored there. Free space "
            "(`irbis clean --dry-run` shows what it would free), or choose another: --workspace DIR."
        ]
    return []


def folder_fault(folder: Path) -> str:
    """Return why a folder cannot be written, or created if it is missing; "" if it can."""
    if folder.is_symlink() and not folder.exists():
        return f"is a link to {os.readlink(folder)}, which does not exist."
    if folder.exists():
        if not folder.is_dir():
            return "is a file, not a folder."
        reason = find_folder_fault(folder)
        return f"cannot be written ({reason})." if reason and reason != "No space left on device" else ""
    parent = next(each for each in folder.parents if each.exists() or each.is_symlink())
    if not parent.is_dir():
        return f"cannot be created: {parent} is {'a file' if parent.exists() else 'a broken link'}."
    # Not even root can create files below /proc and /sys, whatever their mode bits.
    if not os.access(parent, os.W_OK | os.X_OK) or find_folder_fault(parent) not in ("", "No space left on device"):
        return f"cannot be created: {parent} cannot be written."
    return ""


def name_fault(folder: Path, tracking_uri: str | None) -> str:
    """Return which characters of a workspace's path Spark or MLflow misinterpret; "" if none."""
    if re.search(r"[\x00-\x1f\x7f]", str(folder)):
        return "its name contains control characters, such as a line break."
    if tracking_uri is None and (found := re.search(r"\?|%[0-9A-Fa-f]{2}", str(folder))):
        return f"MLflow's database would be written elsewhere, because of the {found[0]!r} in its name."
    return ""


def temporary_faults(settings: Settings) -> list[str]:
    """Return the faults of the folders for temporary files, Spark's included."""
    faults = []
    with suppress(RuntimeError):  # no home folder, which another check reports
        try:
            find_temporary_folder(settings.workspace)
        except PlatformError as error:
            faults += error.faults
    given = os.environ.get("SPARK_LOCAL_DIRS") or settings.spark.conf.get("spark.local.dir")
    name = "SPARK_LOCAL_DIRS" if os.environ.get("SPARK_LOCAL_DIRS") else "spark.conf: spark.local.dir"
    for part in str(given).split(",") if given else ():
        if fault := folder_fault(Path(part.strip()).expanduser().absolute()):
            faults.append(f"{name} = {part.strip()} {fault} Set a folder for Spark's temporary files, or unset it.")
    return faults


def file_limit_faults(settings: Settings) -> list[str]:
    """Return a fault if this process may open too few files for Java, which opens each of Spark's jars."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return []
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # Java raises the soft limit to the hard one itself
    if limit == resource.RLIM_INFINITY or limit >= MIN_OPEN_FILES:
        return []
    return [
        f"Only {limit} files may be open at once, and Spark opens more. "
        f"Allow {MIN_OPEN_FILES}: ulimit -n {MIN_OPEN_FILES}."
    ]


def memory_faults(settings: Settings) -> list[str]:
    """Return a fault if the driver's heap may exceed the memory limit."""
    limit = memory_limit()
    heap = _parse_size(str(settings.spark.conf.get("spark.driver.memory", settings.spark.driver_memory)))
    if limit is None or heap is None or heap < limit:
        return []
    return [
        f"spark.driver_memory = {settings.spark.driver_memory}, but this machine or container has "
        f"{limit / 2**30:.1f} GiB. Lower it (512m is enough for some thousand images), or give the container more."
    ]


def memory_limit(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the memory limit of this process in bytes: the container's, or the machine's memory; None if unknown."""
    sizes = []
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # version 2 and 1 of control groups
        with suppress(OSError, ValueError):  # "max", or no such group
            sizes.append(int((root / name).read_text()))
    return min(sizes, default=None)


def _parse_size(size: str) -> int | None:
    found = re.fullmatch(r"(\d+)([kmgt])b?", size.strip().lower())
    return int(found[1]) * 1024 ** ("kmgt".index(found[2]) + 1) if found else None


def tracking_notes(settings: Settings, env: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Yield a note about set MLflow variables, which irbis ignores: only its settings decide where models are."""
    effective = (settings.tracking.uri, settings.tracking.registry_uri, settings.tracking.experiment)
    named = [name for name in MLFLOW_VARIABLES if env.get(name) and env[name] not in effective]
    if not named or is_external_session():
        return
    where = settings.tracking.uri or f"{settings.workspace}/mlflow.db"
    settings_keys = ("tracking.uri", "tracking.registry_uri", "tracking.experiment", "")
    keys = dict(zip(MLFLOW_VARIABLES, settings_keys, strict=True))
    remedy = " ".join(f"--set {keys[name]}=${name}" for name in named if keys[name]) or "--set tracking.experiment=NAME"
    yield (
        f"{', '.join(named)} {'is' if len(named) == 1 else 'are'} set but not used: runs and models go to {where}, "
        f"experiment {settings.tracking.experiment}. To change that: {remedy}"
    )


CHECKS: dict[str, Callable[[Settings], list[str]]] = {
    "modules": module_faults,
    "workspace": workspace_faults,
    "temporary": temporary_faults,
    "open files": file_limit_faults,
}

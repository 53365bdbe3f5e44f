"""Delta's jars and other Maven packages of a local session: where they are, and why they could not be fetched."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.config.settings import Settings
from pipelines.spark.preflight import folder_fault


def ivy_folder(settings: Settings) -> Path:
    """Return the Ivy cache: ~/.ivy2, or a folder of the workspace if that cannot be written."""
    default = Path.home() / ".ivy2"  # Java would look up the home in the list of users, not in HOME
    if "://" in settings.workspace or (default / "jars").is_dir() or not folder_fault(default):
        return default
    return Path(settings.workspace).expanduser().absolute() / ".ivy2"


def cached_delta_jars(folder: Path) -> list[str]:
    """Return Delta's jars from the Ivy cache, which saves resolving them (2 s a session); empty if they are missing.

    Leaves out Delta's ANTLR jar, because Spark's own takes precedence anyway.
    """
    version = importlib.metadata.version("delta-spark")
    names = [f"io.delta_delta-spark_2.12-{version}.jar", f"io.delta_delta-core_2.12-{version}.jar"]
    delta = [folder / name for name in names if (folder / name).is_file()]
    storage = folder / f"io.delta_delta-storage-{version}.jar"
    return [str(delta[0]), str(storage)] if delta and storage.is_file() else []


def list_jars(conf: Mapping[str, Any], name: str, separator: str = ",") -> list[str]:
    return [part.strip() for part in str(conf.get(name, "")).split(separator) if part.strip()]


def has_delta(conf: Mapping[str, Any]) -> bool:
    """Return whether the settings include Delta's jars, so that none need to be added."""
    jars = [*list_jars(conf, "spark.jars"), *list_jars(conf, "spark.jars.packages")]
    jars += list_jars(conf, "spark.driver.extraClassPath", ":")
    return any(re.search(r"delta-(spark|core)_", jar) for jar in jars)


def start_failure(conf: Mapping[str, Any], log: Path, start: int) -> str:
    """Return why Spark did not start, from the log after byte `start`; "" if it has no error."""
    if not log.is_file():
        return ""
    lines = log.read_bytes()[start:].decode("utf-8", errors="replace").splitlines()
    errors = [
        line.strip()
        for line in lines
        if re.search(r"Exception|unresolved dependency|Error:|Could not (reserve|create)", line)
    ]
    if not errors:
        return ""
    reason = f"Spark did not start ({errors[0][:300]})."
    if not any("unresolved dependency" in line for line in errors):
        return reason
    missing = re.findall(r"unresolved dependency: ([^\s#]+)#([^;\s]+);([\w.-]+)", "\n".join(errors))
    names = ", ".join(dict.fromkeys(f"{name}-{version}.jar" for _, name, version in missing))
    jars = Path(conf["spark.jars.ivy"]) / "jars"
    return (
        f"Spark did not start: {names} could not be fetched from the Maven registry, and {jars} does not have them. "
        f"Run the same command once on a machine with access to it and copy its ~/.ivy2/jars to {jars}; or set the "
        "jars: --set spark.conf.spark.jars=A.jar,B.jar. Behind a proxy: export JAVA_TOOL_OPTIONS="
        "'-Dhttps.proxyHost=HOST -Dhttps.proxyPort=PORT'. With a mirror: --set "
        "spark.conf.spark.jars.ivySettings=FILE, or spark.conf.spark.jars.repositories=URL."
    )

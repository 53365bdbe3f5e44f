"""Delta's jars, and others that a local session takes by their Maven names: where they are, and if there are none."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.config.settings import Settings
from pipelines.spark.preflight import folder_fault


def ivy_folder(settings: Settings) -> Path:
    """Return where Ivy keeps what it fetches: ~/.ivy2, or a folder of the workspace if that cannot be written."""
    usual = Path.home() / ".ivy2"  # Java would ask the system's list of users, not HOME
    if "://" in settings.workspace or (usual / "jars").is_dir() or not folder_fault(usual):
        return usual
    return Path(settings.workspace).expanduser().absolute() / ".ivy2"


def cached_delta_jars(folder: Path) -> list[str]:
    """Find what an earlier session resolved, so that Ivy need not be asked again (2 s a session).

    Delta's third jar, of ANTLR, is left out: Spark has its own, which goes first anyway.
    """
    version = importlib.metadata.version("delta-spark")
    names = [f"io.delta_delta-spark_2.12-{version}.jar", f"io.delta_delta-core_2.12-{version}.jar"]
    delta = [folder / name for name in names if (folder / name).is_file()]
    storage = folder / f"io.delta_delta-storage-{version}.jar"
    return [str(delta[0]), str(storage)] if delta and storage.is_file() else []


def list_jars(conf: Mapping[str, Any], name: str, separator: str = ",") -> list[str]:
    return [part.strip() for part in str(conf.get(name, "")).split(separator) if part.strip()]


def has_delta(conf: Mapping[str, Any]) -> bool:
    """Say whether the settings bring Delta's jars along, so that ours need not be added."""
    named = [*list_jars(conf, "spark.jars"), *list_jars(conf, "spark.jars.packages")]
    named += list_jars(conf, "spark.driver.extraClassPath", ":")
    return any(re.search(r"delta-(spark|core)_", each) for each in named)


def start_failure(conf: Mapping[str, Any], log: Path, start: int) -> str:
    """Return why Spark did not start, by what the log holds after byte `start`; "" if it does not say."""
    if not log.is_file():
        return ""
    lines = log.read_bytes()[start:].decode("utf-8", errors="replace").splitlines()
    telling = [
        line.strip()
        for line in lines
        if re.search(r"Exception|unresolved dependency|Error:|Could not (reserve|create)", line)
    ]
    if not telling:
        return ""
    reason = f"Spark did not start ({telling[0][:300]})."
    if not any("unresolved dependency" in line for line in telling):
        return reason
    missing = re.findall(r"unresolved dependency: ([^\s#]+)#([^;\s]+);([\w.-]+)", "\n".join(telling))
    named = ", ".join(dict.fromkeys(f"{name}-{version}.jar" for _, name, version in missing))
    jars = Path(conf["spark.jars.ivy"]) / "jars"
    return (
        f"Spark did not start: {named} could not be fetched from the Maven registry, and {jars} has none. Once, on a "
        f"machine that reaches it, run the same command and copy its ~/.ivy2/jars to {jars}; or name the jars: --set "
        "spark.conf.spark.jars=A.jar,B.jar. Behind a proxy: export JAVA_TOOL_OPTIONS='-Dhttps.proxyHost=HOST "
        "-Dhttps.proxyPort=PORT'. A mirror: --set spark.conf.spark.jars.ivySettings=FILE, or "
        "spark.conf.spark.jars.repositories=URL."
    )

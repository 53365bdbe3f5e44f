"""What keeps others out of a run that spark-submit starts: its ports, and its secrets, which arguments would show."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from pipelines.azure_uri import is_loopback
from pipelines.redaction import contains_secret
from pipelines.spark.runtime import spark_home

SECRETS_FILE = "spark.properties"  # in the run's folder, while spark-submit is at work
SHUFFLE_SERVICES = ("spark.shuffle.service.enabled", "spark.dynamicAllocation.enabled")


def is_loopback_master(master: str) -> bool:
    """Return whether all of a master's processes are on this machine."""
    hosts = re.findall(r"(?:spark://|,)(\[.+?\]|[^:,]+)", master)
    return master.startswith("local") or (bool(hosts) and all(is_loopback(host.strip("[]")) for host in hosts))


def security_conf(master: str, chosen: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that close what Spark opens, but for what is `chosen` or among this Spark's own defaults.

    Anybody who reaches the ports of a driver without a secret runs code there. On this machine it listens to this
    machine alone; where Spark makes a secret for each run, or one is given, all its processes ask for it and encrypt.
    """
    given = {**dict(re.findall(r"(?m)^\s*(spark\.[^\s=:]+)[\s=:]+(.*?)\s*$", default_properties())), **chosen}
    found = {}
    if master.startswith(("local", "spark://")):
        found["spark.ui.enabled"] = "false"
    if is_loopback_master(master):
        found |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    if "spark.authenticate" not in given and _has_secret(master, given):
        found |= {"spark.authenticate": "true", "spark.network.crypto.enabled": "true"}
    return {name: value for name, value in found.items() if name not in given}


def _has_secret(master: str, given: Mapping[str, str]) -> bool:
    if master.startswith("spark://"):  # which makes none: master and workers must know the same one
        return any(name.startswith("spark.authenticate.secret") for name in given)
    # The shuffle service of a cluster knows the runs' secrets only if it was set up so.
    return master != "yarn" or not any(str(given.get(name)).lower() == "true" for name in SHUFFLE_SERVICES)


def default_properties() -> str:
    """Return the text of spark-defaults.conf, which spark-submit does not read beside a file of ours."""
    file = Path(os.environ.get("SPARK_CONF_DIR") or spark_home() / "conf") / "spark-defaults.conf"
    return file.read_text("utf-8") if file.is_file() else ""


def secret_names(conf: Mapping[str, object]) -> list[str]:
    return [name for name, value in conf.items() if contains_secret(name, value)]


def write_secrets(conf: Mapping[str, str], folder: Path) -> Path | None:
    """Write the settings that hold secrets, after Spark's defaults, to a file that only we read; None: there are none.

    Arguments of a process are shown to everybody on the machine.
    """
    names = secret_names(conf)
    if not names:
        return None
    delete_secrets(folder)
    lines = [f"{_escape(name)} {_escape(conf[name])}\n" for name in names]
    with open(os.open(folder / SECRETS_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write("\n".join([default_properties(), "".join(lines)]))
    return folder / SECRETS_FILE


def delete_secrets(folder: Path) -> None:
    (folder / SECRETS_FILE).unlink(missing_ok=True)


def _escape(text: str) -> str:
    """Write a text as Java's Properties read it."""
    text = re.sub(r"([\\ =:#!])", r"\\\1", text)
    return text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")

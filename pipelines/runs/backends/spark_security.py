"""Security of runs started by spark-submit: closed ports, and secrets kept out of process arguments."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from pipelines.azure_uri import is_loopback
from pipelines.redaction import contains_secret
from pipelines.spark.runtime import spark_home

SECRETS_FILE = "spark.properties"  # in the run's folder, while spark-submit runs
SHUFFLE_SERVICES = ("spark.shuffle.service.enabled", "spark.dynamicAllocation.enabled")


def is_loopback_master(master: str) -> bool:
    """Return whether all of a master's processes are on this machine."""
    hosts = re.findall(r"(?:spark://|,)(\[.+?\]|[^:,]+)", master)
    return master.startswith("local") or (bool(hosts) and all(is_loopback(host.strip("[]")) for host in hosts))


def security_conf(master: str, chosen: Mapping[str, str]) -> dict[str, str]:
    """Return settings that close Spark's ports, except those in `chosen` or in spark-defaults.conf.

    Anybody who reaches the ports of a driver without authentication can run code in it. On a loopback master the
    driver listens on this machine only. Where Spark generates a secret for each run, or one is set, its processes
    authenticate and encrypt.
    """
    conf = {**dict(re.findall(r"(?m)^\s*(spark\.[^\s=:]+)[\s=:]+(.*?)\s*$", default_properties())), **chosen}
    added = {}
    if master.startswith(("local", "spark://")):
        added["spark.ui.enabled"] = "false"
    if is_loopback_master(master):
        added |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    if "spark.authenticate" not in conf and _has_secret(master, conf):
        added |= {"spark.authenticate": "true", "spark.network.crypto.enabled": "true"}
    return {name: value for name, value in added.items() if name not in conf}


def _has_secret(master: str, conf: Mapping[str, str]) -> bool:
    if master.startswith("spark://"):  # generates none: master and workers must share a configured one
        return any(name.startswith("spark.authenticate.secret") for name in conf)
    # A cluster's shuffle service knows the runs' secrets only if it is configured for authentication.
    return master != "yarn" or not any(str(conf.get(name)).lower() == "true" for name in SHUFFLE_SERVICES)


def default_properties() -> str:
    """Return the text of spark-defaults.conf, which spark-submit ignores when --properties-file is given."""
    file = Path(os.environ.get("SPARK_CONF_DIR") or spark_home() / "conf") / "spark-defaults.conf"
    return file.read_text("utf-8") if file.is_file() else ""


def secret_names(conf: Mapping[str, object]) -> list[str]:
    return [name for name, value in conf.items() if contains_secret(name, value)]


def write_secrets(conf: Mapping[str, str], folder: Path) -> Path | None:
    """Write Spark's defaults and the secret settings to a file of mode 0600; return None if there are no secrets.

    A file, because everybody on the machine can see the arguments of a process.
    """
    names = secret_names(conf)
    if not names:
        return None
    delete_secrets(folder)
    lines = [f"{_escape(name)} {_escape(conf[name])}\n" for name in names]
    descriptor = os.open(folder / SECRETS_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join([default_properties(), "".join(lines)]))
    return folder / SECRETS_FILE


def delete_secrets(folder: Path) -> None:
    (folder / SECRETS_FILE).unlink(missing_ok=True)


def _escape(text: str) -> str:
    """Escape a text for a Java properties file."""
    text = re.sub(r"([\\ =:#!])", r"\\\1", text)
    return text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")

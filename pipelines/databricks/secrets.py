"""Resolve references to secrets in settings: {{secrets/SCOPE/KEY}} is in a Databricks secret scope."""

from __future__ import annotations

import os
import re
from typing import Any

from pydantic import SecretStr

from pipelines.config.settings import Settings
from pipelines.errors import SettingsError

_REFERENCE = re.compile(r"\{\{\s*secrets/([^/}]+)/([^/}]+?)\s*\}\}")


def resolve_secrets(settings: Settings) -> Settings:
    """Return the settings with every reference replaced by its secret. Raises SettingsError naming the reference."""
    found = {}
    for name, secret in settings.azure.credentials.items():
        if match := _REFERENCE.fullmatch(secret):
            found[name] = SecretStr(_read_secret(f"azure.{name}", match[1], match[2]))
    if not found:
        return settings
    return settings.model_copy(update={"azure": settings.azure.model_copy(update=found)})


def _read_secret(setting: str, scope: str, key: str) -> str:
    named = f"{setting} = {{{{secrets/{scope}/{key}}}}}"
    if "DATABRICKS_RUNTIME_VERSION" not in os.environ:
        raise SettingsError(f"{named} is a secret of Databricks, and this is not Databricks. Set the value itself.")
    try:
        return str(_dbutils().secrets.get(scope=scope, key=key))
    except Exception as error:  # py4j wraps all errors of the cluster
        reason = next((line for line in str(error).splitlines() if "Secret" in line or "permission" in line), "")
        raise SettingsError(f"{named} cannot be read ({reason[:200] or type(error).__name__}).") from error


def _dbutils() -> Any:
    from pyspark.dbutils import DBUtils  # only Databricks has it
    from pyspark.sql import SparkSession

    return DBUtils(SparkSession.builder.getOrCreate())

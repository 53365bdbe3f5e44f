"""Types and limits of the settings of Spark and of the services that runs are submitted to."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr

from pipelines.config.section import SettingsSection
from pipelines.config.types import Text, parse_mapping


class DatabricksSettings(SettingsSection):
    profile: str | None
    target: Text
    cluster_id: str | None


class HdinsightSettings(SettingsSection):
    url: Annotated[str, Field(pattern=r"^https?://[^/\s?#]+(/[^\s?#]*)?$")] | None
    user: Text
    password: SecretStr | None
    token: SecretStr | None
    archive: str | None
    python: str | None
    packages: str


class Spark(SettingsSection):
    master: str
    driver_memory: Annotated[str, Field(pattern=r"^\d+[mgMG]$")]
    conf: Annotated[dict[str, str | int | float | bool], BeforeValidator(parse_mapping)]

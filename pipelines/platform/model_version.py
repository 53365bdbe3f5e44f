"""A registered model version, as the rest of the package sees it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any


@dataclass(frozen=True)
class ModelVersion:
    """Hold a registered version: its number, run, and the tags written on it (without their prefix)."""

    name: str
    version: str
    run_id: str
    created_at: int  # milliseconds since 1970
    tags: Mapping[str, str]

    @property
    def classes(self) -> list[str]:
        return list(json.loads(self.tags["classes"]))

    @property
    def metrics(self) -> dict[str, float]:
        return dict(json.loads(self.tags["metrics"]))

    @property
    def split(self) -> dict[str, Any] | None:
        """Give the `fractions` and `salt` of the split that it learned by; None of versions before they were noted."""
        return json.loads(self.tags["split"]) if "split" in self.tags else None

    @property
    def learned_groups(self) -> list[str]:
        """Return the groups outside train and validation that it learned from: those of classes that had no others."""
        return list((self.split or {}).get("moved", []))

    @property
    def created(self) -> datetime:
        return datetime.fromtimestamp(self.created_at / 1000, tz=timezone.utc)

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"

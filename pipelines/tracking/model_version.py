"""A registered model version, as the rest of the package sees it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
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


TAG_PREFIX = "irbis."  # what we write on runs and versions
MAX_TAG_LENGTH = 4_000  # bytes: Databricks takes 5,000, and MLflow cuts a run's off at 8,000 characters without a word
_FILE = "file: "


def encode_tags(tags: Mapping[str, str], keep: Callable[[str, str], None]) -> dict[str, str]:
    """Give tags as they are written down. `keep(file, text)` stores what is too long, and its tag names the file."""
    found = {}
    for key, value in tags.items():
        if len(value.encode("utf-8")) > MAX_TAG_LENGTH:
            file = f"tags/{key}.txt"
            keep(file, value)
            value = _FILE + file
        found[TAG_PREFIX + key] = value
    return found


class Tags(Mapping[str, str]):
    """Give our tags by their names, of those that stand there; `read(file)` is asked for a long one when it is used."""

    def __init__(self, tags: Mapping[str, str], read: Callable[[str], str]):
        self._values = {key.removeprefix(TAG_PREFIX): value for key, value in tags.items() if key.startswith(TAG_PREFIX)}
        self._read = read

    def __getitem__(self, key: str) -> str:
        value = self._values[key]
        if value.startswith(_FILE):
            value = self._values[key] = self._read(value.removeprefix(_FILE))
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)

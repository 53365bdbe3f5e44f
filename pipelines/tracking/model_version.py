"""Registered model versions and their tags."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any


@dataclass(frozen=True)
class ModelVersion:
    """A registered version with its number, run id, and tags (without their prefix)."""

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
        """The `fractions` and `salt` of its training split; None for versions that did not record them."""
        return json.loads(self.tags["split"]) if "split" in self.tags else None

    @property
    def learned_groups(self) -> list[str]:
        """Test groups it was trained on: their class has no others, or a model chose them for review."""
        return list((self.split or {}).get("moved", []))

    @property
    def created(self) -> datetime:
        return datetime.fromtimestamp(self.created_at / 1000, tz=timezone.utc)

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


TAG_PREFIX = "irbis."  # of irbis's tags on runs and versions
MAX_TAG_LENGTH = 4_000  # bytes; Databricks allows 5,000, and MLflow silently truncates a run's tags at 8,000 characters
_FILE = "file: "


def encode_tags(tags: Mapping[str, str], keep: Callable[[str, str], None]) -> dict[str, str]:
    """Return tags with their prefix; one that is too long is stored with `keep(file, text)` and refers to the file."""
    encoded = {}
    for key, value in tags.items():
        if len(value.encode("utf-8")) > MAX_TAG_LENGTH:
            file = f"tags/{key}.txt"
            keep(file, value)
            value = _FILE + file
        encoded[TAG_PREFIX + key] = value
    return encoded


class Tags(Mapping[str, str]):
    """Irbis's tags among `tags`, without their prefix; `read(file)` loads a long one when it is accessed."""

    def __init__(self, tags: Mapping[str, str], read: Callable[[str], str]):
        own = {key: value for key, value in tags.items() if key.startswith(TAG_PREFIX)}
        self._values = {key.removeprefix(TAG_PREFIX): value for key, value in own.items()}
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

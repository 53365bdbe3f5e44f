"""Settings files, and what is said of those that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.config.loader import (
    load_settings,
)
from pipelines.errors import SettingsError


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def faults(env: str | None = None, overrides: dict[str, object] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(env, overrides)
    return caught.value.faults

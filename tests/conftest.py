"""What all tests share: settings of a temporary workspace, one Spark session, tables, and the real pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipelines.config import load_settings
from pipelines.settings import ENV_PREFIX, Settings

MakeSettings = Callable[..., Settings]


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """Hide the IRBIS_* variables of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.upper().startswith(ENV_PREFIX)]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Give the folder of real pictures beside the checkout, or skip."""
    folder = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the real pictures in {folder.resolve()}")
    return folder.resolve()


@pytest.fixture
def make_settings(tmp_path: Path) -> MakeSettings:
    """Give a function from {dotted key: value} to Settings with the workspace tmp_path/workspace."""

    def make(overrides: Mapping[str, Any] | None = None) -> Settings:
        defaults = {"workspace": str(tmp_path / "workspace"), "spark.master": "local[2]"}
        return load_settings(None, {**defaults, **(overrides or {})})

    return make


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Give the one Spark session of all tests: two tasks at once, its log in a temporary workspace."""
    from pipelines.platform.session import get_session

    workspace = tmp_path_factory.mktemp("spark") / "work space é"
    session = get_session(load_settings(None, {"workspace": str(workspace), "spark.master": "local[2]"}))
    yield session
    session.stop()


@pytest.fixture
def tables(spark: Any, make_settings: MakeSettings) -> Any:
    """Give the tables, none of them written yet, of a fresh workspace."""
    from pipelines.storage.tables import Tables

    return Tables.of(spark, make_settings())

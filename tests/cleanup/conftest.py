"""A home folder of each test's own, so that no test cleans this machine's caches."""

from __future__ import annotations

import pytest

from pipelines.cleanup import leftovers

from ..stages import conftest as stages


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """Return a home of the test's own: its caches and temporary folders are what is cleaned."""
    home = tmp_path / "home"
    (home / "tmp").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("IRBIS_RUNS__HISTORY_DIR", str(home / "ledger"))
    monkeypatch.setattr(leftovers.tempfile, "gettempdir", lambda: str(home / "tmp"))
    monkeypatch.setattr(leftovers, "oldest_java", lambda: None)
    return home


draw = stages.draw

"""Mark tests by what they need, derived from their fixtures; a test that needs nothing is a unit test."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

FIXTURES = {  # mark -> fixtures, used directly or by another fixture
    "jvm": {"spark"},
    "azurite": {"azurite", "surveys", "tls"},
    "process": {"irbis"},
    "data": {"shared_data"},
}
# Marks of tests that are not unit tests; `process` and `browser` are also written on tests without such a fixture.
NEEDS = (*FIXTURES, "browser", "full", "slow", "clusters", "kills")
# What a contributor runs before pushing, beside the unit tests: each stage, the tables and one run of the command.
CORE = {
    "end_to_end/test_sample_set.py",
    "stages/featurize/test_stage.py",
    "stages/ingest/test_stage.py",
    "stages/report/test_stage.py",
    "stages/score/test_stage.py",
    "stages/train/test_stage.py",
    "tracking/test_promotion.py",
    "workspace/test_tables.py",
}


def mark(items: Iterable[pytest.Item]) -> None:
    """Add `jvm`, `azurite`, `process`, `data`, `core` and `unit`."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        for name, names in FIXTURES.items():
            if names & fixtures:
                item.add_marker(name)
        is_core = any(item.nodeid.removeprefix("tests/").startswith(file) for file in CORE)
        if is_core and not item.get_closest_marker("full"):
            item.add_marker("core")
        if "end_to_end/" in item.nodeid:
            item.add_marker("process")
        if not any(item.get_closest_marker(name) for name in NEEDS):
            item.add_marker("unit")


def skip_without_time() -> None:
    """Skip a test that would start after TESTS_END (seconds since 1970): on a slow machine, the last ones."""
    if time.time() > float(os.environ.get("TESTS_END", "inf")):
        pytest.skip("no time left before TESTS_END")


def refuse_processes(request: pytest.FixtureRequest, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a unit test that starts a process: it belongs among those marked `process`."""
    platform.processor()  # asked for by the Azure SDK; runs `uname` once and is cached
    if request.node.get_closest_marker("unit"):
        start = subprocess.Popen.__init__

        def refuse(self: Any, command: Any, *arguments: Any, **options: Any) -> None:
            if command == ["/sbin/ldconfig", "-p"]:  # by ctypes, when torch is imported first
                return start(self, command, *arguments, **options)
            pytest.fail(f"starts a process: {command}. Add `pytestmark = pytest.mark.process` to the file.")

        patch.setattr(subprocess.Popen, "__init__", refuse)
        patch.setattr(subprocess.Popen, "__del__", lambda self: None)
    yield

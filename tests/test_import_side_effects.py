"""Importing a module starts nothing: a fork, or a thread that forks, can deadlock with another thread's import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = """
import importlib, os, pkgutil, threading
forks = []
os.register_at_fork(before=lambda: forks.append(module.name))
import pipelines
for module in pkgutil.walk_packages(pipelines.__path__, "pipelines."):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except ImportError as error:  # a package of an extra
            assert not (error.name or "").startswith("pipelines"), error
        assert threading.active_count() == 1, (module.name, threading.enumerate())
assert not forks, forks
"""
CI = ("CI", "TF_BUILD", "JENKINS_URL", "PYTEST_CURRENT_TEST")  # where libraries start no telemetry


def test_no_module_starts_a_thread_or_a_process_when_it_is_imported(tmp_path):
    env = {name: value for name, value in os.environ.items() if name not in CI} | {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

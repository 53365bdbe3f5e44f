"""MLflow sends no usage data."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import pipelines.tracking.mlflow_client
from mlflow.telemetry.client import get_telemetry_client
print(get_telemetry_client())
"""
# Where MLflow sends nothing anyway; and ours.
SILENT = ("CI", "TF_BUILD", "JENKINS_URL", "GITHUB_ACTIONS", "PYTEST_CURRENT_TEST", "MLFLOW_DISABLE_TELEMETRY")


def test_mlflow_starts_no_telemetry_client():
    pytest.importorskip("mlflow.telemetry.client", reason="MLflow from 3.2 on")
    env = {name: value for name, value in os.environ.items() if name not in SILENT}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"

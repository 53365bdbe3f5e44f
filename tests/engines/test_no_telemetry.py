"""OpenVINO sends no usage data: it would fork Spark's workers from a thread while they import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import os, sys, threading
forks = []
os.register_at_fork(before=lambda: forks.append(threading.current_thread().name))
import pipelines.stages.featurize.stage
from pipelines.engines.openvino_engine import ov
ov.Core()
started = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
print(forks, started, sys.modules["openvino_telemetry"], callable(ov.convert_model))
"""
CI = ("CI", "TF_BUILD", "JENKINS_URL")  # where OpenVINO sends nothing


def test_openvino_is_imported_without_threads_processes_or_files_of_its_own(tmp_path):
    env = {name: value for name, value in os.environ.items() if name not in CI} | {"HOME": str(tmp_path)}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "[] [] None True\n"
    assert not list(tmp_path.iterdir())

"""What tests of spark-submit share: a script in its place, that says what it was told."""

from __future__ import annotations

import time

import pytest

from pipelines.runs.backends.base import RunRequest
from pipelines.runs.backends.registry import get_backend
from pipelines.runs.backends.workspace_files import WorkspaceFiles

JOB = RunRequest("run-1", ("run",), {"train.cv_folds": 2})
IN_CLUSTER = {"spark__submit__deployMode": "cluster"}
SCRIPT = """#!/bin/sh
# As Spark's own, it says things and ends. What it was told stands in a file beside it.
printf '%s\\n' "$@" > "$SPARK_HOME/told"
echo 'INFO SparkContext: all is well'
{body}
"""


@pytest.fixture
def place_of(make_settings, tmp_path, monkeypatch):
    """Return a function that creates a target whose spark-submit is a script with this body."""

    def make(body="", master="yarn", **chosen):
        home = tmp_path / "spark"
        (home / "bin").mkdir(parents=True, exist_ok=True)
        text = SCRIPT.format(body=body)
        for script in (home / "bin" / "spark-submit", home / "bin" / "spark-class"):
            if not script.is_file() or script.read_text() != text:  # a shell may be reading it
                script.write_text(text)
                script.chmod(0o755)
        monkeypatch.setenv("SPARK_HOME", str(home))
        conf = {f"spark.conf.{name.replace('__', '.')}": value for name, value in chosen.items()}
        settings = make_settings({"runs.history_dir": str(tmp_path / "ledger"), **conf})
        return get_backend(master, settings, WorkspaceFiles(settings))

    return make


@pytest.fixture
def home(tmp_path):
    return str(tmp_path / "shared")


def ended(place, handle):
    while not (progress := place.get_status(handle)).has_ended:
        time.sleep(0.05)
    return progress

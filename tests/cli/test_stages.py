"""When the modules of the stages are imported: while Spark starts, but not before this process has forked for it."""

from __future__ import annotations

import os
import subprocess
import threading
from types import SimpleNamespace

import pytest

from pipelines.cli import stages
from pipelines.errors import PlatformError
from pipelines.spark import launch, session
from pipelines.stages.result import StageResult

pytestmark = pytest.mark.process


@pytest.fixture
def run(monkeypatch, make_settings):
    """Return a function that runs a stage with a given start of Spark, and an event: the stage is being imported."""
    loading = threading.Event()

    def load(name, settings):
        loading.set()
        return SimpleNamespace(run=lambda spark, settings: StageResult(name, 1))

    monkeypatch.setattr(stages, "_load_stage", load)
    monkeypatch.setattr(stages, "apply_dataset", lambda origins, spark, settings: settings)
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "1")  # no rows are counted
    launch.java_forked.cache_clear()

    def run_stages(start_spark):
        monkeypatch.setattr(session, "get_session", lambda *_, **__: start_spark())
        recorder = SimpleNamespace(attach_session=lambda spark: None, add=lambda result: None)
        return list(stages._iter_results(["ingest"], {}, make_settings(), False, recorder))

    return run_stages, loading


def test_stages_are_imported_while_java_starts_but_not_before_the_fork(run):
    run_stages, loading = run

    def start_spark():
        subprocess.run(["true"], check=True)  # is no fork that takes Python's locks
        assert not loading.wait(0.5)
        subprocess.run(["true"], check=True, preexec_fn=os.getpid)  # as PySpark starts Java
        assert loading.wait(60)

    assert [result.read for result in run_stages(start_spark)] == [1]


def test_stages_are_imported_if_spark_was_running_already(run):
    run_stages, loading = run
    assert [result.read for result in run_stages(lambda: None)] == [1]
    assert loading.is_set()


def test_nothing_is_imported_and_nothing_waits_if_spark_does_not_start(run):
    run_stages, loading = run

    def start_spark():
        raise PlatformError("No Java")

    with pytest.raises(PlatformError):
        run_stages(start_spark)
    assert not loading.is_set()

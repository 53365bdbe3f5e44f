"""Connecting to MLflow."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import mlflow
import pytest

from pipelines.tracking.mlflow_client import Tracking

pytestmark = pytest.mark.process


def test_two_that_connect_at_once_leave_logging_as_it_was(make_settings, monkeypatch):
    settings, client = make_settings(), mlflow.MlflowClient
    Tracking.of(settings)  # which makes the tables
    first, first_is_done = Lock(), Event()

    def slowly():
        """Let the second come in while the first is there, and leave after it, unless they take turns."""
        if first.acquire(blocking=False):
            time.sleep(0.5)
        else:
            first_is_done.wait(5)
        return client()

    def connect():
        try:
            return Tracking.of(settings)
        finally:
            first_is_done.set()

    monkeypatch.setattr(mlflow, "MlflowClient", slowly)
    with ThreadPoolExecutor(2) as pool:
        found = [each.result() for each in [pool.submit(connect), pool.submit(connect)]]
    assert found[0].experiment_id == found[1].experiment_id
    assert logging.root.manager.disable == logging.NOTSET


def test_runs_of_others_are_neither_written_to_nor_in_the_way(make_settings, monkeypatch, tmp_path):
    tracking = Tracking.of(make_settings())
    other = tracking.client.create_run(tracking.experiment_id).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", other)
    with mlflow.start_run(experiment_id=tracking.experiment_id) as open_run:  # which takes MLFLOW_RUN_ID away
        monkeypatch.setenv("MLFLOW_RUN_ID", other)
        with tracking.run("train", {"irbis.kind": "own"}) as own:
            tracking.log(params={"folds": 3})
        assert mlflow.active_run().info.run_id == open_run.info.run_id
    assert own not in (other, open_run.info.run_id)
    assert tracking.client.get_run(own).data.params == {"folds": "3"}
    assert tracking.client.get_run(own).info.status == "FINISHED"
    assert tracking.client.get_run(open_run.info.run_id).data.params == {}


def test_no_experiment_of_the_notebook_is_in_the_way(make_settings, monkeypatch):
    tracking = Tracking.of(make_settings())
    mlflow.set_experiment("somebody's own")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another one")
    try:
        with tracking.run("train", {}) as own:
            pass
        assert tracking.client.get_run(own).info.experiment_id == tracking.experiment_id
    finally:
        monkeypatch.setattr(mlflow.tracking.fluent, "_active_experiment_id", None)

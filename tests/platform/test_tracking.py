"""Connecting to MLflow."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import mlflow

from pipelines.platform.tracking import Tracking


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

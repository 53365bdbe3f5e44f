"""A Livy of either version on this machine, and a run in it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pipelines.runs.backends.base import RunRequest
from pipelines.runs.backends.registry import get_backend
from pipelines.runs.backends.workspace_files import WorkspaceFiles
from pipelines.runs.history import RunRecord, utc_now

from ....livy_server import PASSWORD, livy_server

JOB = RunRequest("run-1", ("run",), {"train.cv_folds": 2, "sources.images": "/data/images"})
RECORD = '{"state": "%s", "stages": [{"outcome": "12 written"}], "error": "%s", "ended": "2026"}'


@pytest.fixture(params=[False, True], ids=["0.5", "0.7"])
def server(request):
    with livy_server(is_new=request.param) as running:
        yield running


@pytest.fixture
def place_of(make_settings):
    def make(server, overrides=None):
        given = {"hdinsight.url": server.url, "hdinsight.password": PASSWORD, **(overrides or {})}
        settings = make_settings(given)
        return get_backend("hdinsight", settings, WorkspaceFiles(settings))

    return make


@pytest.fixture
def place(server, place_of):
    return place_of(server)


@pytest.fixture
def home(tmp_path):
    return str(tmp_path / "shared")


@pytest.fixture
def handle(place, home):
    return place.submit(JOB, home)


def entry_of(handle, home, **more):
    return RunRecord("run-1", ("run",), "hdinsight", {}, home, "/", utc_now(), handle=handle, **more)


def wait_for(happens):
    while not happens():
        time.sleep(0.05)


def write_record(home, state, error=""):
    folder = Path(home, "runs", "run-1")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(RECORD % (state, error))

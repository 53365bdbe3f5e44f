"""The real SDK against a workspace on this machine: what it sends, and what happens where the workspace misbehaves."""

from __future__ import annotations

import pytest

from pipelines.errors import AccessError, DataError, PlatformError
from pipelines.runs.backends.base import ConnectionLost, RunRequest
from pipelines.runs.backends.registry import get_backend
from pipelines.runs.follow import LogTail, download, follow, get_handle
from pipelines.runs.history import PENDING, RUNNING, STOPPED, SUCCEEDED, RunHistory, RunRecord, utc_now

from ...databricks_server import databricks_workspace

pytestmark = pytest.mark.process

HOME = "/Volumes/main/irbis/files/survey"
GET = "GET /api/2.2/jobs/runs/get"


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    with databricks_workspace(tmp_path / "cloud") as running:
        running.is_idle = True
        for name, value in running.login.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def place(workspace, make_settings):
    return get_backend("databricks", make_settings({"databricks.cluster_id": "1122-000000-tests"}))


@pytest.fixture
def handle(place):
    return place.submit(RunRequest("run-1", ("run",), {"train.cv_folds": 2, "sources.images": "/Volumes/p"}), HOME)


def entry_of(handle, **more):
    return RunRecord("run-1", ("run",), "databricks", {}, HOME, "/", utc_now(), handle=handle, **more)


def test_a_run_is_one_task_with_job_file_wheel_cluster_and_settings(workspace, handle):
    assert handle == {"run_id": 1, "host": workspace.address, "workspace": HOME}
    (task,) = workspace.runs[1].tasks
    told = task["spark_python_task"]
    assert told["parameters"] == ["--set", "train.cv_folds=2", "--images", "/Volumes/p", "--set", "runs.id=run-1"]
    assert task["existing_cluster_id"] == "1122-000000-tests" and "new_cluster" not in task
    assert workspace.place(told["python_file"]).read_text("utf-8").startswith('"""Job: all five stages.')
    wheel = workspace.place(task["libraries"][0]["whl"])
    assert wheel.name.startswith("irbis-") and wheel.read_bytes()[:2] == b"PK"


def test_without_a_cluster_of_its_own_a_run_gets_those_of_the_bundle(workspace, make_settings):
    place = get_backend("databricks", make_settings({"databricks.target": "prod"}))
    place.submit(RunRequest("run-1", ("run",), {}), HOME), place.submit(RunRequest("train-1", ("train",), {}), HOME)
    clusters = [run.tasks[0]["new_cluster"] for run in workspace.runs.values()]
    assert clusters[0]["node_type_id"] == "Standard_NC4as_T4_v3" and "-gpu-" in clusters[0]["spark_version"]
    assert "-gpu-" not in clusters[1]["spark_version"]
    assert all(cluster["data_security_mode"] for cluster in clusters)
    assert [list(library) for library in workspace.runs[1].tasks[0]["libraries"]] == [["whl"], ["pypi"]]


def test_a_deployed_job_is_run_by_its_name_with_the_settings_for_all_its_tasks(workspace, place):
    with pytest.raises(DataError, match=r"--job nightly: no deployed jobs have this name in http.*bundle deploy"):
        place.submit(RunRequest("run-1", ("run",), {}, "nightly"), HOME)
    own = ["--env", "dev", "--workspace", "/Volumes/a/b/c/irbis/"]
    tasks = [{"task_key": key, "spark_python_task": {"python_file": "x.py", "parameters": own}} for key in "ab"]
    workspace.jobs[1] = {"name": "nightly", "tasks": tasks}
    handle = place.submit(RunRequest("run-1", ("run",), {"train.cv_folds": 2}, "nightly"), HOME)
    assert handle["workspace"] == "/Volumes/a/b/c/irbis"
    words = [*own, "--set", "train.cv_folds=2", "--set", "runs.id=run-1"]
    assert [each["spark_python_task"]["parameters"] for each in workspace.runs[1].tasks] == [words, words]


def test_a_job_whose_tasks_are_told_different_things_is_not_run_so(workspace, place):
    tasks = [{"task_key": key, "spark_python_task": {"python_file": "x.py", "parameters": [key]}} for key in "ab"]
    workspace.jobs[1] = {"name": "nightly", "tasks": tasks}
    with pytest.raises(DataError, match="its tasks have different parameters"):
        place.submit(RunRequest("run-1", ("run",), {}, "nightly"), HOME)
    for task in tasks:
        task["spark_python_task"]["parameters"] = ["--env", "dev"]
    with pytest.raises(DataError, match=r"has no --workspace\. Add it: --workspace /Volumes"):
        place.submit(RunRequest("run-1", ("run",), {}, "nightly"), HOME)
    assert workspace.runs == {}


def test_a_file_is_sent_once_and_again_when_it_has_changed(workspace, place, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("path,label\n")
    first = place.upload_file(labels, HOME)
    assert place.upload_file(labels, HOME) == first and workspace.place(first).read_text() == "path,label\n"
    labels.write_text("path,label\na.jpg,leopard\n")
    assert place.upload_file(labels, HOME) != first
    assert len([call for call in workspace.calls if call.startswith("PUT /api/2.0/fs/files")]) == 2


def test_where_the_answer_is_lost_the_run_is_started_once_and_found_by_its_id(workspace, place):
    workspace.faults.append(("POST /api/2.2/jobs/runs/submit", "drop after"))
    handle = place.submit(RunRequest("run-1", ("run",), {}), HOME)
    assert handle["run_id"] == 1 and len(workspace.runs) == 1
    assert get_handle(entry_of({}, state=PENDING), place)["run_id"] == 1
    with pytest.raises(DataError, match=r"run-2 was never started: the connection dropped .* `irbis repeat run-2`"):
        get_handle(RunRecord("run-2", ("run",), "databricks", {}, HOME, "/", utc_now()), place)


@pytest.mark.parametrize("fault", [(429, {"Retry-After": "1"}), (503, {"Retry-After": "1"}), "drop"])
def test_what_passes_is_asked_for_again(workspace, place, handle, fault):
    workspace.faults.append((GET, fault))
    assert place.get_status(handle).state == PENDING
    assert workspace.calls.count(GET) == 2


def test_a_login_that_has_run_out_says_so_and_that_the_run_goes_on(workspace, place, handle):
    workspace.token = "another"
    with pytest.raises(
        AccessError, match=r"Databricks denied access: Invalid access token.*databricks auth login.*continue"
    ):
        place.get_status(handle)


def test_a_run_that_is_followed_outlives_a_server_that_fails_for_a_while(workspace, place, handle, tmp_path):
    run, said, told = workspace.runs[1], [], []
    log = workspace.place(f"{HOME}/runs/run-1/run.log")
    log.parent.mkdir(parents=True)
    log.write_text("ingest: 1 read\nfeatu")
    workspace.faults += [(GET, (500, {})), (GET, (500, {}))]

    def look(text):
        said.append(text)
        log.write_text("ingest: 1 read\nfeaturize: 1 read\nno newline")
        run.life, run.result = "TERMINATED", "SUCCESS"

    ended = follow(entry_of(handle), place, RunHistory(str(tmp_path / "led")), 0.01, look, told.append)
    assert said == ["ingest: 1 read\n", "featurize: 1 read\nno newline"]
    assert len([line for line in told if "Reconnecting" in line]) == 1
    assert told[-2:] == ["run-1: run PENDING", "run-1: run SUCCESS"]
    assert ended.state == SUCCEEDED
    assert RunHistory(str(tmp_path / "led")).find("run-1").state == SUCCEEDED


def test_states_of_databricks_are_told_in_our_words(workspace, place, handle):
    run = workspace.runs[1]
    for life, result, state in [
        ("QUEUED", None, PENDING),
        ("RUNNING", None, RUNNING),
        ("TERMINATING", None, RUNNING),
        ("TERMINATED", "CANCELED", STOPPED),
        ("TERMINATED", "TIMEDOUT", "failed"),
        ("INTERNAL_ERROR", None, "failed"),
    ]:
        run.life, run.result, run.ended = life, result, 1700000000.0
        assert place.get_status(handle).state == state
    assert place.get_status(handle).ended == "2023-11-14T22:13:20+00:00"
    assert place.get_status(handle).detail == "INTERNAL_ERROR"


def test_what_a_run_has_made_is_fetched_once(workspace, place, tmp_path):
    folder = workspace.place(f"{HOME}/runs/run-1")
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "MLmodel").write_text("flavors:\n")
    (folder / "report.html").write_text("<html>")
    assert place.files(f"{HOME}/runs/run-1") == [("model/MLmodel", 9), ("report.html", 6)]
    for _ in range(2):
        files = download(place, f"{HOME}/runs/run-1", tmp_path / "got")
    assert [file.read_text() for file in files] == ["flavors:\n", "<html>"]
    assert len([call for call in workspace.calls if call.startswith("GET /api/2.0/fs/files")]) == 2
    assert place.files(f"{HOME}/runs/none") == [] and LogTail(place, f"{HOME}/runs/none").read_new() == ""


def test_what_cannot_be_there_is_said_before_anything_is_sent(place, workspace):
    first, second = place.validate({"sources.images": "images", "workspace": "irbis-workspace"})
    assert (
        first.startswith("workspace = irbis-workspace is not in a Unity Catalog volume") and "/Volumes/CATALOG" in first
    )
    assert "`irbis upload images az://" in second
    assert place.validate({"sources.images": "az://a/b", "workspace": HOME}) == [] and workspace.calls == []


def test_a_run_of_another_workspace_is_not_asked_about_here(place):
    with pytest.raises(PlatformError, match=r"run is in https://other, but the current login is for http://127"):
        place.get_status({"run_id": 1, "host": "https://other"})


def test_without_a_login_the_commands_that_give_one_are_named(make_settings, monkeypatch, tmp_path):
    for name in ("DATABRICKS_HOST", "DATABRICKS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(
        PlatformError, match=r"Not authenticated to Databricks .*databricks auth login.*DATABRICKS_TOKEN"
    ):
        get_backend("databricks", make_settings()).get_status({"run_id": 1, "host": "x"})


def test_a_server_that_fails_is_a_connection_that_may_come_back(workspace, place, handle):
    workspace.faults.append((GET, (500, {})))
    with pytest.raises(ConnectionLost, match=r"is temporarily unavailable: fault 500\."):
        place.get_status(handle)

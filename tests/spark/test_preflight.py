"""What a run would fail of is said before it begins: folders, names of folders, variables."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines.errors import ModelError, PlatformError
from pipelines.spark import preflight
from pipelines.spark.preflight import (
    folder_fault,
    managed_faults,
    memory_faults,
    memory_limit,
    require_usable_machine,
    temporary_faults,
    tracking_notes,
    workspace_faults,
)
from pipelines.tracking.local_store import sqlite_tracking_uri


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABRICKS_RUNTIME_VERSION", "PYSPARK_GATEWAY_PORT", "SPARK_LOCAL_DIRS", *preflight.MLFLOW_VARIABLES):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "ü",
        "100%",
        "a#b",
        "a*b",
        "a:b",
        "[2024]",
        "{x}",
        "a;b",
        "a'b",
        'a"b',
        "trail.",
        "a&b",
        "$x",
        "~x",
        "a\u00a0b",
    ],
)
def test_names_that_spark_and_mlflow_take_are_let_pass(make_settings, tmp_path, name):
    assert workspace_faults(make_settings({"workspace": str(tmp_path / name)})) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a?b", "MLflow's database would be written elsewhere, because of the '?' in its name."),
        ("a%20b", "MLflow's database would be written elsewhere, because of the '%20' in its name."),
        ("a\nb", "its name contains control characters, such as a line break."),
    ],
)
def test_names_under_which_something_is_written_elsewhere_are_refused(make_settings, tmp_path, name, said):
    settings = make_settings({"workspace": str(tmp_path / name / "w")})
    (fault,) = workspace_faults(settings)
    assert said in fault and fault.endswith("Choose another folder: --workspace DIR.")
    with pytest.raises(ModelError, match="Choose another folder"):
        sqlite_tracking_uri(settings)
    assert list(tmp_path.iterdir()) == []


def test_with_a_server_for_mlflow_its_database_is_no_matter(make_settings, tmp_path):
    chosen = {"workspace": str(tmp_path / "a?b"), "tracking.uri": "http://127.0.0.1:5000"}
    assert workspace_faults(make_settings(chosen)) == []


def test_what_is_no_folder_is_told_from_one_that_cannot_be_made(make_settings, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("gone")
    for name, said in (
        ("file", f"workspace = {tmp_path}/file is a file, not a folder. Choose another: --workspace DIR."),
        ("file/w", f"workspace = {tmp_path}/file/w cannot be created: {tmp_path}/file is a file. Choose"),
        ("link", f"workspace = {tmp_path}/link is a link to gone, which does not exist. Choose"),
        ("link/w", f"cannot be created: {tmp_path}/link is a broken link."),
    ):
        (fault,) = workspace_faults(make_settings({"workspace": str(tmp_path / name)}))
        assert said in fault
    (fault,) = workspace_faults(make_settings({"workspace": "~nobody-of-that-name/w"}))
    assert "there is no user of that name" in fault


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc, in which nothing can be made")
def test_a_folder_that_nothing_can_be_made_in_is_named():
    assert folder_fault(Path("/proc/nowhere/w")) == "cannot be created: /proc cannot be written."


def test_a_disk_without_room_is_told_with_what_is_needed(make_settings, tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "free_bytes", lambda folder: 12 * 2**20)
    (fault,) = workspace_faults(make_settings())
    assert "its disk has 12 MB left. A run needs 64 MB besides the bytes of the images" in fault
    with pytest.raises(PlatformError, match="12 MB left"):
        require_usable_machine(make_settings())
    require_usable_machine(make_settings(), needs_space=False)  # as `irbis clean`, which makes room


def test_folders_for_spark_that_cannot_be_written_are_named_with_their_variable(make_settings, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPARK_LOCAL_DIRS", f"{tmp_path},{tmp_path}/file")
    assert temporary_faults(make_settings()) == [
        f"SPARK_LOCAL_DIRS = {tmp_path}/file is a file, not a folder. Set a folder for Spark's temporary files, or "
        "unset it."
    ]
    monkeypatch.delenv("SPARK_LOCAL_DIRS")
    (fault,) = temporary_faults(make_settings({"spark.conf.spark.local.dir": f"{tmp_path}/file"}))
    assert fault.startswith("spark.conf: spark.local.dir = ")


def test_all_faults_are_told_at_once(make_settings, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "random.py").touch()
    monkeypatch.setenv("SPARK_LOCAL_DIRS", f"{tmp_path}/file")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(PlatformError) as caught:
        require_usable_machine(make_settings({"workspace": str(tmp_path / "file")}))
    assert [fault.partition(" ")[0] for fault in caught.value.faults] == ["PYTHONPATH", "workspace", "SPARK_LOCAL_DIRS"]


def test_a_variable_of_databricks_alone_makes_no_cluster(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "_has_session", lambda: False)
    assert managed_faults(tmp_path / "databricks") == []
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "16.4")
    (fault,) = managed_faults(tmp_path / "databricks")
    assert fault.startswith("DATABRICKS_RUNTIME_VERSION=16.4 is set, but this is not a Databricks cluster")
    (tmp_path / "databricks").mkdir()
    assert managed_faults(tmp_path / "databricks") == []


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_memory_is_what_the_container_may_use(make_settings, tmp_path, monkeypatch, name):
    machine = memory_limit(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("1073741824\n")
    assert memory_limit(tmp_path) == 2**30
    monkeypatch.setattr(preflight, "memory_limit", lambda: memory_limit(tmp_path))
    (fault,) = memory_faults(make_settings({"spark.driver_memory": "2g"}))
    assert fault.startswith("spark.driver_memory = 2g, but this machine or container has 1.0 GiB.")
    assert memory_faults(make_settings({"spark.driver_memory": "512m"})) == []
    (tmp_path / name).write_text("max\n")
    assert memory_limit(tmp_path) == machine


def test_variables_of_mlflow_are_not_used_in_silence(make_settings):
    settings = make_settings()
    assert list(tracking_notes(settings, {})) == []
    (note,) = tracking_notes(settings, {"MLFLOW_TRACKING_URI": "http://server:5000"})
    assert note == (
        f"MLFLOW_TRACKING_URI is set but not used: runs and models go to {settings.workspace}/mlflow.db, experiment "
        "irbis. To change that: --set tracking.uri=$MLFLOW_TRACKING_URI"
    )
    both = {"MLFLOW_TRACKING_URI": "http://server:5000", "MLFLOW_EXPERIMENT_NAME": "mine"}
    assert list(tracking_notes(make_settings({"tracking.uri": "http://server:5000"}), both)) == [
        "MLFLOW_EXPERIMENT_NAME is set but not used: runs and models go to http://server:5000, experiment irbis. To "
        "change that: --set tracking.experiment=$MLFLOW_EXPERIMENT_NAME"
    ]


def test_the_variables_of_the_machine_are_read_when_asked(make_settings, monkeypatch):
    monkeypatch.setitem(os.environ, "MLFLOW_TRACKING_URI", "http://server:5000")
    assert len(list(tracking_notes(make_settings()))) == 1


def test_too_few_open_files_are_told_with_the_number_to_allow(make_settings, monkeypatch):
    resource = pytest.importorskip("resource", reason="needs a Unix")
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, 256))
    assert preflight.file_limit_faults(make_settings()) == [
        "Only 256 files may be open at once, and Spark opens more. Allow 1024: ulimit -n 1024."
    ]
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, resource.RLIM_INFINITY))
    assert preflight.file_limit_faults(make_settings()) == []

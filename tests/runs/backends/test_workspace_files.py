"""The files of a workspace, reached without Spark: in a folder and in a container."""

from __future__ import annotations

import pytest

from pipelines.azure.retry import RetryPolicy
from pipelines.errors import AccessError, DataError
from pipelines.runs.backends.workspace_files import WorkspaceFiles
from pipelines.sources import stores
from pipelines.sources.stores import azure_blob
from tests.azurite import KEY


@pytest.fixture
def in_container(azurite, container, make_settings, monkeypatch):
    """Return the files of a container, and its URI."""
    monkeypatch.setattr(azure_blob, "BACKGROUND_RETRY", RetryPolicy(tries=1))
    settings = make_settings({"azure.account_key": KEY})
    return WorkspaceFiles(settings), f"{azurite.endpoint}/{container.container_name}"


def test_a_folder_is_written_listed_and_read(make_settings, tmp_path):
    found = WorkspaceFiles(make_settings())
    found.write(f"{tmp_path}/runs/a/run.log", b"ingest: 1 read\n")
    found.write(f"{tmp_path}/runs/a/model/MLmodel", b"x")
    assert found.files(f"{tmp_path}/runs/a") == [("model/MLmodel", 1), ("run.log", 15)]
    assert found.read(f"{tmp_path}/runs/a/run.log") == b"ingest: 1 read\n"
    assert found.files(f"{tmp_path}/none") == []


def test_a_container_is_written_listed_and_read(in_container):
    found, home = in_container
    found.write(f"{home}/survey/runs/a/run.log", b"ingest: 1 read\n")
    found.write(f"{home}/survey/runs/a/run.log", b"ingest: 2 read\n")
    found.write(f"{home}/survey/runs/a/model/ä MLmodel", b"x")
    found.write(f"{home}/survey/runs/ab/run.log", b"another's")
    assert found.files(f"{home}/survey/runs/a") == [("model/ä MLmodel", 1), ("run.log", 15)]
    assert found.read(f"{home}/survey/runs/a/run.log") == b"ingest: 2 read\n"
    assert found.read(f"{home}/survey/runs/a/model/ä MLmodel") == b"x"
    assert found.files(f"{home}/none") == []


def test_folders_that_some_accounts_list_as_empty_blobs_are_no_files(in_container):
    found, home = in_container
    for name, content in (("a", b""), ("a/b", b""), ("a/b/c.txt", b"x"), ("a/empty.txt", b"")):
        found.write(f"{home}/{name}", content)
    assert found.files(home) == [("a/b/c.txt", 1), ("a/empty.txt", 0)]


def test_what_is_not_there_is_distinguished_from_a_dropped_connection(
    in_container, azurite, make_settings, monkeypatch
):
    found, home = in_container
    with pytest.raises(AccessError, match=r"cannot be read \(BlobNotFound\)"):
        found.read(f"{home}/none.txt")
    nowhere = "http://127.0.0.1:1/devstoreaccount1/c"
    for ask in (
        lambda: found.read(f"{nowhere}/a"),
        lambda: found.files(nowhere),
        lambda: found.write(f"{nowhere}/a", b""),
    ):
        with pytest.raises(ConnectionError, match="connection refused"):
            ask()


def test_a_container_that_is_not_there_refuses(in_container):
    found, home = in_container
    with pytest.raises(AccessError, match="cannot be written"):
        found.write(f"{home}-none/a.txt", b"x")


def test_what_this_machine_does_not_reach_is_reported(make_settings):
    found = WorkspaceFiles(make_settings())
    assert "workspace = hdfs:///irbis cannot be reached from this machine" in found.validate("hdfs:///irbis")[0]
    assert found.validate("irbis-workspace")[0].startswith(
        "workspace = irbis-workspace is a relative path, which the cluster cannot reach"
    )
    assert found.validate("/data/irbis") == [] and found.validate("wasbs://c@a.blob.core.windows.net/x") == []
    with pytest.raises(DataError, match="cannot be reached from this machine"):
        found.read("hdfs:///irbis/runs/a")


TOY = """
SCHEMES, CONTENT = ("toy",), {}

def list_files(folder, settings):
    return [(name[len(folder) + 1 :], len(content)) for name, content in CONTENT.items()]

def read_file(address, settings):
    return CONTENT[address]

def write_file(address, content, settings):
    CONTENT[address] = content
"""


def test_a_store_for_workspaces_is_one_new_file(make_settings, tmp_path, monkeypatch):
    (tmp_path / "toy_workspace_store.py").write_text(TOY)
    monkeypatch.setattr(stores, "__path__", [*stores.__path__, str(tmp_path)])
    found = WorkspaceFiles(make_settings())
    assert found.validate("toy://box/survey") == []
    found.write("toy://box/survey/runs/a/run.log", b"ingest: 1 read\n")
    assert found.files("toy://box/survey") == [("runs/a/run.log", 15)]
    assert found.read("toy://box/survey/runs/a/run.log", 8) == b"1 read\n"

"""One process at a time works in a workspace in Blob Storage, by a lease on a real Azurite."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import pytest
from azure.storage.blob import BlobLeaseClient, ContainerSasPermissions, generate_container_sas

from pipelines.azure import blob_lease
from pipelines.azure import lease as lease_module
from pipelines.azure.credentials import find_credential
from pipelines.azure.lease import require_lease, workspace_lease
from pipelines.config.loader import load_settings
from pipelines.config.settings import Settings
from pipelines.errors import AccessError, PlatformError
from pipelines.workspace.tables import Tables
from tests.azurite import ACCOUNT, KEY
from tests.holder import holder

HOLD = """
import sys, time
from pipelines.azure import blob_lease
from pipelines.azure.lease import workspace_lease
from tests.azure.test_lease import settings_of
blob_lease.DURATION = 15
with workspace_lease(settings_of(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def settings_of(address: str, **azure: str) -> Settings:
    """Return settings of a workspace in an emulator at any port."""
    given = load_settings(None, {f"azure.{name}": value for name, value in azure.items()})
    return given.model_copy(update={"workspace": address})


@pytest.fixture
def workspace(container: Any) -> str:
    return f"{container.url}/work space"


def break_lease(container: Any) -> None:
    BlobLeaseClient(container.get_blob_client("work space/.lock")).break_lease(0)


def test_a_second_run_is_refused_with_who_holds_it_until_the_first_ends(container, workspace):
    settings = settings_of(workspace)
    with workspace_lease(settings):
        require_lease(workspace)
        with pytest.raises(PlatformError) as caught, workspace_lease(settings):
            raise AssertionError("two at once")
        sentence = (
            f"Process {os.getpid()} on {socket.gethostname()} has been working in {workspace} since T. Wait for it, or "
            "choose another --workspace. If it was killed, the workspace is free within 60 seconds."
        )
        assert re.sub(r"since [0-9-]+ [0-9:]+ UTC", "since T", str(caught.value)) == sentence
        require_lease(workspace)  # the first still holds it
    assert lease_module._held == {}
    with pytest.raises(ZeroDivisionError), workspace_lease(settings):
        raise ZeroDivisionError
    with workspace_lease(settings):
        pass


def test_other_workspaces_are_not_leased(tmp_path):
    for address in (str(tmp_path), "hdfs://node/irbis", "s3a://bucket/irbis", "dbfs:/irbis"):
        with workspace_lease(settings_of(address)), workspace_lease(settings_of(address)):
            require_lease(address)


def test_a_run_that_lost_its_lease_stops_before_its_next_commit(spark, tables, container, workspace, monkeypatch):
    rows, lost = tables.read("features"), r"The lease on .*/work space was lost \(Lease\w+\): .* Run again"
    with workspace_lease(settings_of(workspace)):
        monkeypatch.setitem(lease_module._held, tables.workspace, lease_module._held[workspace])
        tables.append("features", rows)
        break_lease(container)
        with workspace_lease_of_another(workspace):
            for write in (
                lambda: tables.append("features", rows),
                lambda: tables.upsert("features", rows, ["content_hash"]),
                lambda: tables.delete_matching("features", rows.select("content_hash")),
            ):
                with pytest.raises(PlatformError, match=lost):
                    write()
    assert Tables(spark, tables.workspace).version("features") == 0


@contextmanager
def workspace_lease_of_another(workspace: str) -> Iterator[None]:
    lease = blob_lease.Lease(workspace, settings_of(workspace))
    lease.acquire()
    yield
    lease.release()


def test_a_lease_that_was_broken_is_not_renewed_for_ever(container, workspace, monkeypatch):
    monkeypatch.setattr(blob_lease, "DURATION", 15)
    lease = blob_lease.Lease(workspace, settings_of(workspace))
    lease.acquire()
    monkeypatch.setattr(blob_lease, "DURATION", 0.04)
    break_lease(container)
    lease.renew_until(Event())  # comes back: there is nothing left to renew
    with pytest.raises(PlatformError, match="was lost"):
        lease.require_held()


def test_a_credential_that_may_only_read_is_reported(container, workspace, monkeypatch):
    may_read = ContainerSasPermissions(read=True, list=True)
    name = container.container_name
    container.upload_blob("work space/.lock", b"")
    sas = generate_container_sas(ACCOUNT, name, account_key=KEY, permission=may_read, expiry="2099-01-01")
    settings = settings_of(workspace, sas=sas)
    # The emulator's own key is known, and would be taken.
    monkeypatch.setattr(
        blob_lease, "workspace_credential", lambda _, place: find_credential(settings.azure, None, place)
    )
    with pytest.raises(AccessError, match=r"the blob \.lock cannot be leased \(AuthorizationPermissionMismatch\)"):
        workspace_lease(settings).__enter__()


@pytest.mark.slow
def test_a_lease_is_renewed_and_ends_soon_after_its_holder_was_killed(container, workspace, monkeypatch):
    settings = settings_of(workspace)
    with holder(HOLD, workspace) as first:
        time.sleep(20)  # longer than the lease
        with pytest.raises(PlatformError, match=f"Process {first.pid} on"):
            workspace_lease(settings).__enter__()
        first.kill()
        first.wait(60)
        begin = time.monotonic()
        while True:
            try:
                with workspace_lease(settings):
                    break
            except PlatformError:
                assert time.monotonic() - begin < 60
                time.sleep(0.5)

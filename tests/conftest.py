"""What all tests share: settings of a temporary workspace, one Spark session, tables, and the real images."""

from __future__ import annotations

import os
import re
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.azure_uri import EMULATOR_PORT
from pipelines.config.loader import load_settings
from pipelines.config.settings import ENV_PREFIX, Settings

from . import needs
from .azurite import Azurite, why_not

MakeSettings = Callable[..., Settings]


@pytest.hookimpl(tryfirst=True)  # before -m chooses by the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    needs.mark(items)


@pytest.hookimpl(tryfirst=True)  # before any fixture
def pytest_runtest_setup() -> None:
    needs.skip_without_time()


@pytest.fixture(autouse=True)
def _no_hidden_processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from needs.refuse_processes(request, monkeypatch)


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """Hide the IRBIS_* variables of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.upper().startswith(ENV_PREFIX)]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real images beside the checkout, or skip."""
    folder = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the real images in {folder.resolve()}")
    return folder.resolve()


@pytest.fixture
def make_settings(tmp_path: Path) -> MakeSettings:
    """Return a function from {dotted key: value} to Settings with the workspace tmp_path/workspace."""

    def make(overrides: Mapping[str, Any] | None = None) -> Settings:
        defaults = {"workspace": str(tmp_path / "workspace"), "spark.master": "local[2]"}
        return load_settings(None, {**defaults, **(overrides or {})})

    return make


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return the one Spark session of all tests: two tasks at once, its log in a temporary workspace."""
    from pipelines.spark import session as sessions
    from pipelines.spark.java import java_options

    workspace = tmp_path_factory.mktemp("spark") / "work space é"
    # Hundreds of tests leave the snapshots of their tables in the JVM: 2 GB are soon full.
    chosen = {"workspace": str(workspace), "spark.master": "local[2]", "spark.driver_memory": "3g"}
    with pytest.MonkeyPatch.context() as patch:
        # Use the archive of Java's classes if a command has written one; writing it would take a minute at the end.
        options = partial(sessions.class_data_sharing_options, create=False)
        patch.setattr(sessions, "class_data_sharing_options", lambda java, jars, **_: options(java, jars))
        # A command is over before C2 has compiled what it needs; the tests of a process take a third less with it.
        patch.setattr(sessions, "java_options", lambda java: [*java_options(java), "-XX:TieredStopAtLevel=4"])
        session = sessions.get_session(load_settings(None, chosen))
    yield session
    session.stop()


@pytest.fixture(scope="module", autouse=True)
def _forgotten_tables() -> Iterator[None]:
    """Let the JVM forget the tables of a file's tests, which nobody reads again: it need not collect around them."""
    yield
    from pyspark.sql import SparkSession

    from pipelines.spark.session import is_running

    session = SparkSession.getActiveSession()
    if session and is_running(session):
        session.catalog.clearCache()
        session._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()


@pytest.fixture
def tables(spark: Any, make_settings: MakeSettings) -> Any:
    """Return the tables, none of them written yet, of a fresh workspace."""
    from pipelines.workspace.tables import Tables

    return Tables.of(spark, make_settings())


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """Return Azurite, running for all tests, or skip."""
    if reason := why_not():
        pytest.skip(reason)
    running = Azurite.start(tmp_path_factory.mktemp("azurite"))
    yield running
    running.stop()


@pytest.fixture
def surveys(tmp_path: Path) -> Iterator[Any]:
    """Return the client of a container `surveys` of an emulator where Hadoop's file system looks for it, or skip."""
    from azure.storage.blob import ContainerClient

    with socket.socket() as probe:
        if reason := why_not() or (probe.connect_ex(("127.0.0.1", EMULATOR_PORT)) == 0 and "the port is taken"):
            pytest.skip(reason)
    running = Azurite.start(tmp_path, port=EMULATOR_PORT)
    client = ContainerClient.from_connection_string(running.connection_string, "surveys")
    client.create_container()
    yield client
    running.stop()


@pytest.fixture
def container(azurite: Azurite, request: pytest.FixtureRequest) -> Any:
    """Return the SDK's client of a new container, named by the test, with the account's key."""
    from azure.storage.blob import ContainerClient

    name = f"{re.sub(r'[^a-z0-9]+', '-', request.node.name.lower())[:50].strip('-')}-{uuid.uuid4().hex[:6]}"
    client = ContainerClient.from_connection_string(azurite.connection_string, name)
    client.create_container()
    return client

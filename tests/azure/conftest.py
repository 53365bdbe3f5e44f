"""Fixtures for tests of tokens: Azurite over TLS, a machine without logins, and token servers."""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.azure import container, credentials
from pipelines.config.loader import load_settings
from pipelines.sources.registry import Source, open_source
from tests.azurite import Azurite, why_not
from tests.token_server import TokenServer, token_server, write_certificate

CONTENTS = {f"S{number % 3}/é {number}.jpg": bytes([number]) * 999 * number for number in range(20)}
AZ = """#!{python}
import pathlib, time
pathlib.Path({counter!r}).open("a").write("asked\\n")
time.sleep({latency})
print({answer!r})
"""


def opened(container: Any) -> Source:
    """Open a container by its address alone: with a token, as there is no other credential."""
    return open_source(load_settings(None, {"sources.images": container.url}))


def contents(source: Source) -> dict[str, bytes]:
    return {blob.relative_path: source.fetch(blob.path, blob.etag) for blob in source.list()}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def tls(certificate: Path) -> Iterator[Azurite]:
    """Start Azurite over TLS, which accepts tokens, or skip."""
    if reason := why_not():
        pytest.skip(reason)
    options = ["--oauth", "basic", "--cert", str(certificate), "--key", str(certificate.with_name("key.pem"))]
    running = Azurite.start(certificate.parent, *options, scheme="https")
    yield running
    running.stop()


@pytest.fixture
def no_logins(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> Iterator[None]:
    """Hide the logins of whoever runs this, and trust the certificate."""
    for variable in [name for name in os.environ if name.startswith(("AZURE_", "IDENTITY_", "MSI_", "IMDS_"))]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    credentials._default_tokens.cache_clear()
    yield
    credentials._default_tokens.cache_clear()
    container._client.cache_clear()


@pytest.fixture
def identity(no_logins: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenServer]:
    """Start the token server of this machine's managed identity."""
    with token_server() as server:
        for name, value in server.managed_identity.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def az(no_logins: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """Hide the machine's `az`; return a function that installs one and returns a file with a line per call."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    def put(token: str, latency: float) -> Path:
        program, counter = tmp_path / "bin/az", tmp_path / "runs"
        program.parent.mkdir()
        answer = json.dumps({"accessToken": token, "expires_on": int(time.time()) + 3600, "expiresOn": "2099-01-01"})
        program.write_text(AZ.format(python=sys.executable, counter=str(counter), latency=latency, answer=answer))
        program.chmod(0o755)
        return counter

    return put


@pytest.fixture
def blobs(tls: Azurite, certificate: Path) -> Any:
    """Return the SDK's client, with the account key, of a new container with CONTENTS."""
    client = new_container(tls, certificate)
    for name, content in CONTENTS.items():
        client.upload_blob(name, content)
    return client


def new_container(tls: Azurite, certificate: Path) -> Any:
    from azure.storage.blob import ContainerClient

    name = f"tokens-{uuid.uuid4().hex[:8]}"
    client = ContainerClient.from_connection_string(tls.connection_string, name, connection_verify=str(certificate))
    client.create_container()
    return client

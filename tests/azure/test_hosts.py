"""Credentials are sent to Azure hosts, this machine and configured hosts; other hosts are never contacted."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.azure import container, credentials
from pipelines.azure.hadoop import artifact_credentials_env, hadoop_access_conf
from pipelines.azure_uri import parse_blob_uri
from pipelines.config.loader import load_settings
from pipelines.errors import AccessError, DataError, SettingsError
from pipelines.runs.backends.workspace_files import WorkspaceFiles
from pipelines.sources.registry import open_source
from tests.http_server import Quiet, Server, serving
from tests.token_server import write_certificate

KEY = "c2VjcmV0LXRoYXQtbm9ib2R5LW1heS1zZWU="
SAS = "sv=2021-12-02&sr=c&sp=rl&sig=bm9ib2R5LW1heS1zZWU"
CREDENTIALS: dict[str, dict[str, str]] = {
    "token": {},
    "account key": {"azure.account_key": KEY},
    "signature": {"azure.sas": SAS},
    "connection string": {"azure.connection_string": f"AccountName=irbis1;AccountKey={KEY}"},
}


class Eavesdropper(Server):
    """A server that records the path and Authorization header of every request, and responds with a redirect or 403."""

    def __init__(self, redirect: str = "") -> None:
        super().__init__(_Handler)
        self.redirect, self.heard = redirect, list[str]()

    @property
    def secrets(self) -> list[str]:
        return [each for each in self.heard if "sig=" in each or not each.endswith(" None")]


class _Handler(Quiet):
    server: Eavesdropper

    def do_GET(self) -> None:
        self.server.heard.append(f"{self.path} {self.headers.get('Authorization')}")
        self.send_response(302 if self.server.redirect else 403)
        if self.server.redirect:
            self.send_header("Location", self.server.redirect)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_PUT = do_HEAD = do_GET


@pytest.fixture
def foreign(identity: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Eavesdropper]:
    """Start a TLS server to which all names below example.org resolve, on a machine with a token."""
    for variable in credentials.VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    names = ("storage.example.org", "irbis1.blob.example.org", "irbis1.blob.core.windows.net.example.org")
    certificate = write_certificate(tmp_path, *names)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server, look_up = Eavesdropper(), socket.getaddrinfo
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True)

    def lead_here(host: Any, port: Any, *more: Any, **named: Any) -> Any:
        known = str(host).endswith("example.org")
        return (
            look_up("127.0.0.1", server.server_port, *more, **named) if known else look_up(host, port, *more, **named)
        )

    monkeypatch.setattr(socket, "getaddrinfo", lead_here)
    with serving(server):
        yield server
    container._client.cache_clear()


def settings_of(address: str, **given: Any) -> Any:
    return load_settings(None, {"sources.images": address, **given})


@pytest.mark.parametrize("given", CREDENTIALS.values(), ids=CREDENTIALS.keys())
@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://storage.example.org/irbis1/survey/2024", "storage.example.org"),
        ("https://irbis1.blob.example.org/survey", "irbis1.blob.example.org"),
        ("abfss://survey@irbis1.dfs.example.org/2024", "irbis1.blob.example.org"),
        ("wasbs://survey@irbis1.blob.core.windows.net.example.org", "irbis1.blob.core.windows.net.example.org"),
        ("http://storage.example.org/irbis1/survey", "storage.example.org"),
        (f"https://storage.example.org/irbis1/survey?{SAS}", "storage.example.org"),
    ],
)
def test_a_foreign_host_is_shown_no_credential(foreign, given, address, host):
    with pytest.raises(AccessError) as refusal:
        open_source(settings_of(address, **given))
    message = str(refusal.value)
    assert f"credentials are not sent to {host}, which is not a host of Azure Blob Storage" in message
    assert f"--set azure.hosts={host}" in message and "sig=" not in message and len(refusal.value.faults) == 1
    assert foreign.heard == []


@pytest.mark.parametrize("hosts", ["storage.example.org", ".example.org", "Storage.Example.org"])
@pytest.mark.parametrize("given", CREDENTIALS.values(), ids=CREDENTIALS.keys())
def test_a_host_that_the_setting_names_is_shown_them(foreign, given, hosts):
    address = "https://storage.example.org/irbis1/survey"
    with pytest.raises(AccessError, match=r"irbis1/survey/ rejects the (token|account key|SAS)"):
        open_source(settings_of(address, **given, **{"azure.hosts": hosts}))
    assert len(foreign.secrets) == len(foreign.heard) == 1


def test_a_host_that_is_named_is_shown_none_without_tls(foreign):
    given = {"azure.sas": SAS, "azure.hosts": "storage.example.org"}
    with pytest.raises(AccessError, match=r"over http to this machine\. Write https://storage\.example\.org/"):
        open_source(settings_of("http://storage.example.org/irbis1/survey", **given))
    with pytest.raises(AccessError, match="over http to this machine"):
        open_source(settings_of("http://irbis1.blob.core.windows.net/irbis1/survey", **given))


def test_nor_do_files_workspace_and_models_there_get_one(foreign):
    workspace = "abfss://survey@irbis1.dfs.example.org/w"
    settings = load_settings(None, {"workspace": workspace, "azure.account_key": KEY})
    asked = (
        lambda: WorkspaceFiles(settings).read("https://storage.example.org/irbis1/survey/labels.csv"),
        lambda: WorkspaceFiles(settings).write(f"{workspace}/runs/a.json", b"{}"),
        lambda: WorkspaceFiles(settings).files(workspace),
        lambda: hadoop_access_conf(settings),
        lambda: artifact_credentials_env(settings),
    )
    for ask in asked:
        with pytest.raises(
            AccessError, match=r"credentials are not sent to .*example\.org, which is not a host of Azure"
        ):
            ask()
    assert foreign.heard == []


def test_a_redirection_takes_no_credential_along():
    with serving(Eavesdropper()) as other, serving(Eavesdropper(f"http://127.0.0.1:{other.server_port}/")) as server:
        address = f"http://127.0.0.1:{server.server_port}/irbis1/survey"
        with pytest.raises(AccessError, match="rejects the account key"):
            open_source(settings_of(address, **{"azure.account_key": KEY}))
        assert (len(server.secrets), other.heard) == (1, [])


@pytest.mark.parametrize(
    "address",
    [
        r"https://storage.example.org\.blob.core.windows.net/irbis1/survey",
        "https://storage.example.org#.blob.core.windows.net/irbis1/survey",
        "https://storage.example.org\t.blob.core.windows.net/irbis1/survey",
        "https://x:y@storage.example.org/irbis1/survey",
    ],
)
def test_an_address_that_programs_read_differently_is_none(address):
    with pytest.raises(DataError, match="no container is named"):
        parse_blob_uri(address)


@pytest.mark.parametrize("hosts", ["https://storage.example.org", ".", "storage.example.org/x", "*"])
def test_only_names_of_hosts_are_taken(hosts):
    with pytest.raises(SettingsError, match=r"azure\.hosts = .* is refused: expected the name of a host"):
        load_settings(None, {"azure.hosts": hosts})

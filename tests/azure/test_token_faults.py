"""Unavailable tokens: each is reported within seconds, with what was tried."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pipelines.azure.retry import RetryPolicy
from pipelines.errors import AccessError, ImageError
from pipelines.sources.stores import azure_blob
from tests.token_server import token_server

from .conftest import CONTENTS, contents, opened

CHAIN = "EnvironmentCredential, WorkloadIdentityCredential, ManagedIdentityCredential"
OPENING = """
import sys, time
from pipelines.config.loader import load_settings
from pipelines.sources.registry import open_source
start = time.monotonic()
try:
    open_source(load_settings(None, {"sources.images": sys.argv[1]}))
except Exception as error:
    print(time.monotonic() - start, type(error).__name__, error)
"""

GIVES_UP = 15  # seconds; irbis allows five, a hanging identity or `az` takes 20 and more
pytestmark = pytest.mark.usefixtures("az")  # whoever runs this may be logged in


def refusal(container: Any) -> str:
    """Return the error of opening the container, raised before it would end by itself."""
    start = time.monotonic()
    with pytest.raises(AccessError) as caught:
        opened(container)
    assert time.monotonic() - start < GIVES_UP
    return str(caught.value)


@pytest.mark.parametrize(("refuse", "how"), [(401, f"tried {CHAIN}"), (403, f"tried {CHAIN}"), (500, "timed out")])
def test_a_refused_identity_is_reported_with_what_was_tried(blobs, identity, refuse, how):
    identity.refuse = refuse
    message = refusal(blobs)
    assert f"DefaultAzureCredential found no token either ({how}" in message
    assert all(name in message for name in ("azure.account_key", "AZURE_STORAGE_KEY", "az login"))
    identity.refuse = 0
    assert contents(opened(blobs)) == CONTENTS


def test_an_identity_that_hangs_is_reported_and_keeps_no_process_from_ending(blobs, identity):
    identity.hang = True
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", OPENING, blobs.url], capture_output=True, text=True)
    assert time.monotonic() - start < 50  # alone it would hang for 100 s
    seconds, kind, message = done.stdout.split(" ", 2)
    assert float(seconds) < GIVES_UP and kind == "AccessError"
    assert "DefaultAzureCredential found no token either (timed out)" in message


def test_an_az_that_hangs_is_reported(blobs, az):
    runs = az("none", latency=20)
    assert "AzureCliCredential" in refusal(blobs)
    assert runs.read_text() == "asked\n"


def test_a_token_that_the_account_rejects_is_reported(blobs, identity):
    identity.audience = "https://vault.azure.net"
    message = refusal(blobs)
    assert "rejects the token of DefaultAzureCredential (AuthenticationFailed" in message
    assert "Storage Blob Data Reader" in message and identity.given[0] not in message


def test_a_service_principal_with_a_wrong_secret_is_reported_and_the_right_one_counts_at_once(
    blobs, certificate, monkeypatch
):
    with token_server(certificate) as server:
        for name, value in {**server.service_principal, "AZURE_CLIENT_SECRET": "wrong-secret"}.items():
            monkeypatch.setenv(name, value)
        message = refusal(blobs)
        assert "(tried EnvironmentCredential)" in message and "wrong-secret" not in message
        assert server.asked == 1
        monkeypatch.setenv("AZURE_CLIENT_SECRET", server.password)  # as in a notebook, which goes on
        assert contents(opened(blobs)) == CONTENTS


@pytest.mark.parametrize(
    ("variables", "how"),
    [
        ({"AZURE_CLIENT_ID": "1", "AZURE_CLIENT_SECRET": "half-a-secret"}, f"tried {CHAIN}"),
        ({"AZURE_TENANT_ID": "no tenant!", "AZURE_CLIENT_ID": "1", "AZURE_CLIENT_SECRET": "s"}, "Invalid tenant ID"),
        (
            {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "1", "AZURE_CLIENT_CERTIFICATE_PATH": "/nowhere.pem"},
            "[Errno 2] No such file or directory: '/nowhere.pem'",
        ),
        ({"AZURE_TOKEN_CREDENTIALS": "nonsense"}, "Invalid value for AZURE_TOKEN_CREDENTIALS: nonsense"),
    ],
)
def test_variables_that_make_no_service_principal_are_reported(blobs, identity, monkeypatch, variables, how):
    identity.refuse = 401
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    message = refusal(blobs)
    assert f"DefaultAzureCredential found no token either ({how}" in message and "half-a-secret" not in message


def test_a_token_is_not_sent_without_tls(container, identity):
    message = refusal(container)
    assert message.startswith("http://127.0.0.1") and ": tokens are only sent over https" in message


@pytest.mark.parametrize(("fault", "tries"), [({"refuse": 401}, 2), ({"hang": True}, 1)])
def test_a_token_that_is_not_renewed_is_reported_and_no_thread_waits_for_another(
    blobs, identity, monkeypatch, fault, tries
):
    monkeypatch.setattr(azure_blob, "BACKGROUND_RETRY", RetryPolicy(tries=tries, first_wait=0.2))
    monkeypatch.setattr("pipelines.azure.retry.READ_TIMEOUT", 0.2)
    identity.life = 200  # so short that every request asks for another
    source = opened(blobs)
    blob = list(source.list())[-1]
    for name, value in fault.items():
        setattr(identity, name, value)
    start = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        fetching = [pool.submit(source.fetch, blob.path, blob.etag) for _ in range(16)]
    assert time.monotonic() - start < 50  # one after the other: 16 x 6 s
    for failure in (each.exception() for each in fetching):
        assert isinstance(failure, ImageError)
        assert f"unavailable: DefaultAzureCredential gave no token, {tries} times in" in str(failure)


def test_a_token_server_that_fails_for_a_moment_costs_no_image(blobs, identity):
    identity.life = 200
    source = opened(blobs)
    blob = list(source.list())[-1]
    identity.refuse = 401
    threading.Timer(0.5, setattr, (identity, "refuse", 0)).start()
    start = time.monotonic()
    assert source.fetch(blob.path, blob.etag) == CONTENTS[blob.relative_path]
    assert time.monotonic() - start < 14  # by itself the SDK waits 15 s and more

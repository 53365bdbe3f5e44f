"""Tokens instead of keys: managed identity, service principal and `az login`, with Azurite over TLS."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from pipelines.azure import container, credentials
from pipelines.config.loader import load_settings
from pipelines.workspace.tables import Tables
from tests.token_server import token_server

from ..stages.conftest import survey_images
from .conftest import CONTENTS, contents, new_container, opened

FETCHING = """
import hashlib, pickle, sys
source, found = pickle.load(sys.stdin.buffer)
for blob in found:
    print(blob.relative_path, hashlib.sha256(source.fetch(blob.path, blob.etag)).hexdigest())
"""
LOUD = """import logging, sys
from pipelines.cli.app import main
logging.basicConfig(level=logging.DEBUG)
main(sys.argv[1:])
"""


def parts(token: str) -> list[bytes]:
    """Return the parts that identify a token: its claims, which include the time, and its signature."""
    return [part.encode() for part in token.split(".")[1:]]


def test_a_managed_identity_lists_and_fetches_every_image(blobs, identity):
    source = opened(blobs)
    assert repr(source.credential) == "token of DefaultAzureCredential"
    assert contents(source) == CONTENTS
    assert (identity.asked, len(identity.given)) == (1, 1)


def test_a_service_principal_lists_and_fetches_every_image(blobs, no_logins, certificate, monkeypatch):
    with token_server(certificate) as server:
        for name, value in server.service_principal.items():
            monkeypatch.setenv(name, value)
        assert contents(opened(blobs)) == CONTENTS
        assert len(server.given) == 1


def test_after_az_login_every_image_is_fetched_and_az_is_run_once(blobs, identity, az, monkeypatch):
    monkeypatch.delenv("IDENTITY_ENDPOINT")
    runs = az(identity.token(), latency=0.3)
    source = opened(blobs)
    found = list(source.list())
    with ThreadPoolExecutor(16) as pool:
        fetched = list(pool.map(lambda blob: source.fetch(blob.path, blob.etag), found))
    assert fetched == [CONTENTS[blob.relative_path] for blob in found]
    assert runs.read_text() == "asked\n"


def test_all_threads_of_a_worker_ask_once(blobs, identity, monkeypatch):
    make = credentials._TokenCache
    monkeypatch.setattr(credentials, "_TokenCache", lambda credential: time.sleep(0.1) or make(credential))
    source = opened(blobs)
    found = list(source.list())
    credentials._default_tokens.cache_clear(), container._client.cache_clear()  # as in a worker that just started
    identity.asked, identity.latency = 0, 0.3
    with ThreadPoolExecutor(16) as pool:
        fetched = list(pool.map(lambda blob: source.fetch(blob.path, blob.etag), found))
    assert fetched == [CONTENTS[blob.relative_path] for blob in found]
    assert identity.asked == 1


def test_a_token_that_soon_ends_is_replaced(blobs, identity):
    identity.life = credentials.REFRESH_MARGIN + 1 - 60  # the SDK's clients ask up to a minute later, by chance
    source = opened(blobs)
    first = identity.asked
    assert contents(source) == CONTENTS
    assert identity.asked > first


def test_a_pickled_source_fetches_in_a_fresh_process_and_holds_no_token(blobs, identity):
    source = opened(blobs)
    travelling = pickle.dumps((source, list(source.list())))
    (token,) = identity.given
    assert not any(secret in travelling for secret in [*parts(token), identity.password.encode()])
    done = subprocess.run([sys.executable, "-c", FETCHING], input=travelling, capture_output=True)
    assert done.returncode == 0, done.stderr[-2000:].decode()
    found = dict(line.rsplit(" ", 1) for line in done.stdout.decode().splitlines())
    assert found == {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    assert identity.asked == 2  # the process got one of its own


def test_tokens_are_in_no_log_though_everything_is_logged(blobs, identity):
    text, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(text), root.level
    root.addHandler(handler), root.setLevel(logging.DEBUG)
    try:
        assert contents(opened(blobs)) == CONTENTS
    finally:
        root.removeHandler(handler), root.setLevel(level)
    lines, (token,) = text.getvalue().encode(), identity.given
    assert b"GET /token?api-version" in lines and b"GET /devstoreaccount1/tokens-" in lines
    assert not any(secret in lines for secret in [*parts(token), identity.password.encode()])


def test_spark_ingests_by_token_and_leaves_none_behind(tls, certificate, identity, spark, tmp_path):
    images = {**survey_images(), "S0/plain/bad.jpg": b"<html>"}
    container = new_container(tls, certificate)
    for name, content in images.items():
        container.upload_blob(f"2024/{name}", content)
    words = ["ingest", "--images", f"{container.url}/2024", "--labels", "folder", "--workspace", "w", "--verbose"]
    done = subprocess.run(
        [sys.executable, "-c", LOUD, *words], cwd=tmp_path, env=os.environ, capture_output=True, timeout=300
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-4000:].decode()
    assert b"ingest: 181 read, 180 written, 1 failed (1 not_an_image)" in output
    tables = Tables.of(spark, load_settings(None, {"workspace": str(tmp_path / "w")}))
    rows = {row["path"].removeprefix(f"{container.url}/2024/"): row for row in tables.read("images").collect()}
    assert {name: bytes(row["content"]) for name, row in rows.items() if not row["failure"]} == survey_images()
    assert {name: row["failure"] for name, row in rows.items() if row["failure"]} == {
        "S0/plain/bad.jpg": "not_an_image"
    }
    assert all(row["label"] == name.split("/")[1] for name, row in rows.items())
    assert 2 <= len(identity.given) <= 5  # one for the driver, one for each worker
    files = [path.read_bytes() for path in (tmp_path / "w").rglob("*") if path.is_file()]
    assert len(files) > 5 and b"DEBUG:urllib3" in output
    secrets = [identity.password.encode(), *(part for token in identity.given for part in parts(token))]
    assert not any(secret in content for secret in secrets for content in [*files, output])

"""`mlflow models serve` for real, as the container of deploy/azureml starts it: requests, faults and many clients."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
import requests

from pipelines.tracking import served_models
from pipelines.tracking.served_files import MODEL

from ..serving.models import LABELS, PHOTOS, write

pytestmark = [pytest.mark.process, pytest.mark.full]
FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "azureml"
TEXTS = [base64.b64encode(photo).decode() for photo in PHOTOS]
JSON, CSV = "application/json", "text/csv"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Return the address of a server that runs in a process of its own, without Java and without irbis's folder."""
    folder = tmp_path_factory.mktemp("served")
    write(folder / MODEL, folder / "cache")
    (folder / "registered" / "1").mkdir(parents=True)
    served_models.save(folder / MODEL, folder / "registered" / "1" / "model", ["numpy"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **{"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOST": "127.0.0.1", "PORT": str(port)},
        **{"AZUREML_MODEL_DIR": str(folder / "registered" / "1"), "HOME": str(folder)},
    }
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            ["sh", str(FOLDER / "serve.sh")],
            **{"stdout": log, "stderr": log, "env": environment, "cwd": folder, "start_new_session": True},
        )
    address = f"http://127.0.0.1:{port}"
    try:
        while not answers(address):
            assert server.poll() is None, (folder / "server.log").read_text()
            time.sleep(0.5)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/ping", timeout=60).status_code == 200
    except requests.ConnectionError:
        return False


def ask(url: str, body: str | bytes, kind: str = JSON) -> requests.Response:
    return requests.post(f"{url}/invocations", data=body, headers={"Content-Type": kind}, timeout=600)


def rows_of(response: requests.Response) -> list[dict]:
    assert response.status_code == 200, response.text
    return response.json()["predictions"]


def like(rows: list[dict]) -> list[dict]:
    """Return rows that equal others but for the last digits, which differ with the number of images at once."""
    return [
        {
            **{key: pytest.approx(value, abs=1e-6) if "score" in key else value for key, value in row.items()},
            "probabilities": pytest.approx(row["probabilities"], abs=1e-6),
        }
        for row in rows
    ]


def split(texts, **more) -> str:
    return json.dumps({"dataframe_split": {"columns": ["image"], "data": [[text] for text in texts], **more}})


@pytest.fixture(scope="module")
def expected(url):
    rows = rows_of(ask(url, split(TEXTS)))
    assert [row["failure"] for row in rows] == [""] * len(PHOTOS)
    assert {row["prediction"] for row in rows} <= set(LABELS) and len({row["score"] for row in rows}) == len(PHOTOS)
    return rows


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (split(TEXTS[:3], index=[0, 1, 2]), JSON),
        (json.dumps({"dataframe_records": [{"image": text} for text in TEXTS[:3]]}), JSON),
        (json.dumps({"instances": [{"image": text} for text in TEXTS[:3]]}), JSON),
        (json.dumps({"inputs": {"image": TEXTS[:3]}}), JSON),
        (pd.DataFrame({"image": TEXTS[:3]}).to_csv(index=False), CSV),
        (split(TEXTS[:3]), f"{JSON}; charset=utf-8"),
    ],
    ids=["split", "records", "instances", "inputs", "csv", "charset"],
)
def test_every_form_of_request_gives_the_same_rows(url, expected, body, kind):
    assert rows_of(ask(url, body, kind)) == like(expected[:3])


def test_many_clients_at_once_get_the_answers_to_their_own_images(url, expected):
    def client(seed: int) -> None:
        order = random.Random(seed)
        for _ in range(3):
            chosen = order.sample(range(len(TEXTS)), 4)
            found = rows_of(ask(url, split([TEXTS[i] for i in chosen])))
            assert found == like([expected[i] for i in chosen])

    with ThreadPoolExecutor(8) as clients:
        list(clients.map(client, range(8)))


BAD = [
    None,
    "",
    "x",
    "!",
    "/etc/passwd",
    "file:///etc/passwd",
    "http://127.0.0.1:1/",
    TEXTS[0][:500],
    "data:,",
    "\ud800",
]
BAD += [base64.b64encode(b"\xff\xd8\xff" + bytes(9)).decode(), TEXTS[1] + "====", "A" * 200_000, "\x00", "../" * 50]


def test_a_bad_image_is_a_row_and_never_an_error_of_the_server(url, expected):
    rows = rows_of(ask(url, split([TEXTS[0], *BAD, TEXTS[1]])))
    assert [row["failure"] == "" for row in rows][1:-1].count(True) <= 1  # base64 with too much padding may be read
    assert [rows[0], rows[-1]] == like(expected[:2])
    assert all(row["needs_review"] for row in rows if row["failure"])


@pytest.mark.parametrize("value", [7, 1.5, True, ["a"], {"a": 1}], ids=repr)
def test_a_value_that_is_no_text_is_the_callers_fault_or_a_row(url, value):
    response = ask(url, json.dumps({"dataframe_records": [{"image": value}]}))
    assert response.status_code in (200, 400), response.text
    if response.status_code == 200:
        assert rows_of(response)[0]["failure"]


MALFORMED = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"{}",
    b'{"dataframe_split": {}}',
    b'{"inputs": {"picture": ["x"]}}',
    b"\xff\xfe",
]
MALFORMED += [b'{"dataframe_split": {"columns": ["image"], "data": [[1, 2]]}}', b'{"instances": []}']


@pytest.mark.parametrize("body", MALFORMED, ids=lambda body: repr(body[:40]))
def test_a_malformed_body_is_the_callers_fault_and_the_server_goes_on(url, expected, body):
    response = ask(url, body)
    assert 400 <= response.status_code < 500, response.text
    assert rows_of(ask(url, split(TEXTS[:1]))) == like(expected[:1])


def test_other_kinds_of_content_are_refused(url):
    for kind in ("image/jpeg", "multipart/form-data", ""):
        assert 400 <= ask(url, PHOTOS[0], kind).status_code < 500


def test_a_folder_without_a_model_ends_with_a_sentence(tmp_path):
    done = subprocess.run(
        ["sh", str(FOLDER / "serve.sh")], env={"PATH": "/bin", "AZUREML_MODEL_DIR": str(tmp_path)}, capture_output=True
    )
    assert done.returncode == 1 and done.stderr.startswith(b"There is no MLmodel in ")

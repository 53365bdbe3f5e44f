"""Little picture sets for the stages: made in code, with EXIF times, in a folder of the test's own."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Draw = Callable[..., Path]


def jpeg(shade: int, seed: int, captured_at: datetime | None = None, label: str = "") -> bytes:
    """Give a 48 x 36 JPEG of one shade with a little noise; stripes tell the label `striped`."""
    pixels = np.random.default_rng(seed).normal(shade, 6, (36, 48, 3))
    if label == "striped":
        pixels[:, ::6] += 90
    exif = Image.Exif()
    if captured_at:
        exif.get_ifd(0x8769)[0x9003] = captured_at.strftime("%Y:%m:%d %H:%M:%S")
    target = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(target, "JPEG", quality=90, exif=exif)
    return target.getvalue()


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Give a function that writes pictures by {name below the folder: bytes} and gives the folder."""

    def write(pictures: dict[str, bytes], folder: str = "pictures") -> Path:
        for name, content in pictures.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path / folder

    return write


@pytest.fixture
def survey() -> dict[str, bytes]:
    return survey_pictures()


def survey_pictures() -> dict[str, bytes]:
    """Give 60 encounters of three frames at two stations: label = last folder, half of them striped."""
    start, pictures = datetime(2024, 6, 1), {}
    for encounter in range(60):
        label = ("plain", "striped")[encounter % 2]
        for frame in range(3):
            at = start + timedelta(hours=2 * encounter, seconds=frame)
            name = f"S{encounter % 4 // 2}/{label}/{encounter:03}_{frame}.jpg"
            pictures[name] = jpeg(90 + encounter, 10 * encounter + frame, at, label)
    return pictures

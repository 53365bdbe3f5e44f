"""Images of stations, drawn: a scene for each, and a square where an animal stands."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import numpy as np
from PIL import Image

from ..conftest import NOON

WIDTH, HEIGHT, SIDE = 160, 120, 30  # pixels


def place(i: int) -> tuple[int, int]:
    """Return left and top of the animal in image i of a station."""
    return (37 * i) % (WIDTH - SIDE), (29 * i) % (HEIGHT - SIDE)


def station_images(
    station: int, numbers: Iterable[int], *, is_animal: Callable[[int], bool] = bool
) -> dict[str, bytes]:
    """Return {name: JPEG} of images of a station by their numbers; those of `is_animal` show one."""
    coarse = np.random.default_rng(station).uniform(40, 140, (6, 8, 3))
    scene = np.kron(coarse, np.ones((HEIGHT // 6, WIDTH // 8, 1)))
    images = {}
    for i in numbers:
        pixels = scene + np.random.default_rng(1000 * station + i).normal(0, 2, (HEIGHT, WIDTH, 1))
        if is_animal(i):
            left, top = place(i)
            pixels[top : top + SIDE, left : left + SIDE] += 100
        taken = (NOON + timedelta(hours=i)).isoformat(" ").replace("-", ":")
        label = "animal" if is_animal(i) else "blank"
        images[f"S{station}/{label}/{i:03}.jpg"] = _encode(pixels, taken)
    return images


def _encode(pixels: Any, taken: str) -> bytes:
    exif, target = Image.Exif(), io.BytesIO()
    exif[0x8769] = {0x9003: taken}
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(target, "JPEG", quality=92, exif=exif)
    return target.getvalue()

"""Images of a static camera, drawn: a textured scene, and a blob where an animal stands."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 320, 240


def scene(seed: int, *, is_infrared: bool = False, width: int = WIDTH, height: int = HEIGHT) -> Any:
    """Return the empty scene of a camera, float of shape (height, width, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(40, 160, (6, 8, 1 if is_infrared else 3))
    pixels = np.kron(coarse, np.ones((height // 6, width // 8, 1)))
    return np.broadcast_to(pixels, (height, width, 3)).copy()


def frame(background: Any, noise: int, *, animal: tuple[int, int, int] | None = None, brightness: float = 1.0) -> Any:
    """Return uint8 pixels of a frame; `animal`: left, top and side of a square that is brighter than the scene."""
    pixels = background.copy()
    if animal:
        left, top, side = animal
        pixels[top : top + side, left : left + side] += 90
    pixels = pixels * brightness + np.random.default_rng(noise).normal(0, 2, (*pixels.shape[:2], 1))
    return pixels.clip(0, 255).astype(np.uint8)


def encoded(pixels: Any, kind: str = "JPEG", **options: Any) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, kind, **({"quality": 92} if kind == "JPEG" else {}), **options)
    return target.getvalue()

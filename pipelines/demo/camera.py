"""Simulate the camera: particles in front of the lens, exposure, grain, tone curve and focus."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pipelines.demo.layers import HEIGHT, WIDTH
from pipelines.demo.light import Conditions, strips
from pipelines.demo.noise import Floats

STEPS = 2048  # of the sensor, to a linear value of 1


def expose(scene: Floats, conditions: Conditions, rng: np.random.Generator) -> Image.Image:
    """Return a photo of a scene (height, width, 1 or 3), in RGB, with gains, vignette, grain, tone curve and focus."""
    gains = np.asarray(conditions.balance, np.float32) * np.float32(conditions.exposure)
    channels = scene.shape[2]
    top, left = rng.integers(HEIGHT), rng.integers(WIDTH)
    grain = _grain()[top : top + HEIGHT, left : left + WIDTH]
    photo = np.empty(scene.shape, np.uint8)
    for rows in strips():
        rough = grain[rows] * np.float32(conditions.noise)
        rough *= np.float32(0.25) + np.sqrt(np.maximum(scene[rows, :, channels // 2], 0))
        for channel in range(channels):
            values = scene[rows, :, channel] * _vignette()[rows]
            values *= gains[channel] if channels == 3 else gains.mean()
            values += rough
            np.clip(values * np.float32(STEPS), 0, 2 * STEPS - 1, out=values)
            photo[rows, :, channel] = _tone().take(values.astype(np.uint16))
    image = Image.fromarray(photo if channels == 3 else photo[..., 0])
    if conditions.focus > 0.2:
        image = image.filter(ImageFilter.BoxBlur(conditions.focus))
    return image.convert("RGB")


@lru_cache(maxsize=1)
def _grain() -> Floats:
    """Return a field of noise, larger than a scene, of which every frame uses its own window."""
    return np.random.default_rng(99).standard_normal((HEIGHT * 2, WIDTH * 2), dtype=np.float32)


@lru_cache(maxsize=1)
def _tone() -> NDArray[np.uint8]:
    """Return the tone curve of the sensor, from linear steps up to 2.0 to a byte, with a soft shoulder."""
    linear = np.arange(2 * STEPS, dtype=np.float32) / STEPS
    return np.clip(255 * (1 - np.exp(-1.55 * linear)) ** (1 / 1.9) * 1.06, 0, 255).astype(np.uint8)


@lru_cache(maxsize=1)
def _vignette() -> Floats:
    down = np.linspace(-1, 1, HEIGHT, dtype=np.float32)[:, None]
    across = np.linspace(-1, 1, WIDTH, dtype=np.float32)[None, :]
    return 1 - 0.11 * (across**2 + down**2)


def add_snowfall(scene: Floats, is_night: bool, rng: np.random.Generator) -> None:
    """Add falling snow to the scene, in place; by night the flash overexposes the near flakes."""
    flakes = Image.new("L", (WIDTH, HEIGHT))
    brush = Image.new("L", (12, 12))
    brush.paste(255, (3, 3, 9, 9))
    brush = brush.filter(ImageFilter.GaussianBlur(2))
    for _ in range(int(rng.integers(60, 200))):
        size = int(rng.integers(2, 12))
        flake = brush.resize((size, size))
        flakes.paste(flake, (int(rng.integers(0, WIDTH)), int(rng.integers(0, HEIGHT))), flake)
    scene += np.asarray(flakes, np.float32)[..., None] / 255 * np.float32(0.8 if is_night else 0.4)


def add_insect(scene: Floats, rng: np.random.Generator) -> None:
    """Add an insect or a grain of dust close to the lens, in place: a pale disc out of focus."""
    radius = int(rng.integers(8, 34))
    x, y = int(rng.integers(radius, WIDTH - radius)), int(rng.integers(radius, HEIGHT - radius))
    axis = np.arange(-radius, radius + 1, dtype=np.float32)
    away = np.hypot(axis[None, :], axis[:, None] * np.float32(rng.uniform(1, 1.8))) / radius
    disc = np.clip((1 - away) * 4, 0, 1) * np.float32(rng.uniform(0.06, 0.25))
    scene[y - radius : y + radius + 1, x - radius : x + radius + 1] += disc[..., None]


def add_eyeshine(scene: Floats, eyes: list[tuple[float, float]], size: float) -> None:
    """Add the reflection of the flash in the eyes (tapetum lucidum), in place; `size` of a pupil in pixels."""
    reach = round(size * 3)
    axis = np.arange(-reach, reach + 1, dtype=np.float32)
    away = axis[None, :] ** 2 + axis[:, None] ** 2
    glow = 2.2 * np.exp(-away / np.float32(0.5 * size**2)) + 0.25 * np.exp(-away / np.float32(3.0 * size**2))
    for x, y in eyes:
        column, row = round(x), round(y)
        if reach <= column < WIDTH - reach and reach <= row < HEIGHT - reach:
            scene[row - reach : row + reach + 1, column - reach : column + reach + 1] += glow[..., None]

"""Smooth random fields, the raw material of rock, soil, cloud and fur."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.floating[Any]]


def smooth_noise(rng: np.random.Generator, height: int, width: int, cells: float) -> Floats:
    """Return a field of 0..1 with about `cells` bumps along its width."""
    across = max(2, round(cells) + 1)
    down = max(2, round(cells * height / width) + 1)
    coarse = Image.fromarray(rng.random((down, across), dtype=np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def fractal_noise(
    rng: np.random.Generator, height: int, width: int, cells: float, octaves: int = 4, gain: float = 0.55
) -> Floats:
    """Return the sum of octaves of smooth noise, each twice as fine; the field has mean 0 and about unit range."""
    field = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        finer = smooth_noise(rng, height, width, min(cells * 2**octave, width))
        field += np.float32(gain**octave) * (finer - np.float32(0.5))
    return field


def tiling_noise(rng: np.random.Generator, size: int, cells: int, octaves: int = 4) -> Floats:
    """Return a square fractal field that tiles seamlessly; mean 0, deviation 1."""
    field = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        bumps = min(cells * 2**octave, size)
        coarse = np.pad(rng.random((bumps, bumps), dtype=np.float32), 2, mode="wrap")
        step = size // bumps
        fine = Image.fromarray(coarse).resize((step * (bumps + 4),) * 2, Image.Resampling.BICUBIC)
        field += np.float32(0.6**octave) * np.asarray(fine)[2 * step : -2 * step, 2 * step : -2 * step]
    return (field - field.mean()) / field.std()


def smoothstep(low: float, high: float, values: Floats) -> Floats:
    """Return a smooth ramp from 0 at `low` to 1 at `high`, flat at both ends."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return t * t * (3 - 2 * t)

"""Grey textures from formulas: noise, waves and cells, optionally warped."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


def textures(rng: np.random.Generator, count: int, size: int) -> Bytes:
    """Return `count` grey fields, uint8 (count, size, size): noise, waves and cells, half of them warped."""
    makers: list[Callable[[np.random.Generator, int], Floats]] = [noise, noise, waves, waves, cells]
    fields = [makers[i % len(makers)](rng, size) for i in range(count)]
    warped = [warp(rng, f) if rng.random() < 0.5 else f for f in fields]
    return np.stack([stretch_contrast(f) for f in warped])


def noise(rng: np.random.Generator, size: int) -> Floats:
    """Return noise with spectrum 1/f^a, a in 0.6..2.4, stretched in a random direction."""
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]
    angle, squeeze = rng.uniform(0, np.pi), np.exp(rng.uniform(0, 1.8))
    u, v = np.cos(angle) * fx + np.sin(angle) * fy, np.cos(angle) * fy - np.sin(angle) * fx
    frequency = np.sqrt((u * squeeze) ** 2 + v**2) + 1.0 / size
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) / frequency ** rng.uniform(0.6, 2.4)
    return np.fft.irfft2(spectrum, s=(size, size)).astype(np.float32)


def waves(rng: np.random.Generator, size: int) -> Floats:
    """Return a sum or product of one to three sine waves, some squared off: stripes, checks, ripples."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    total = np.zeros((size, size), np.float32) if rng.random() < 0.6 else np.ones((size, size), np.float32)
    product = bool(total[0, 0])
    for _ in range(rng.integers(1, 4)):
        angle, frequency, phase = (
            rng.uniform(0, np.pi),
            3.0 * np.exp(rng.uniform(0, 2.2)),
            rng.uniform(0, 6.28),
        )
        wave = np.sin(2 * np.pi * frequency * (np.cos(angle) * x + np.sin(angle) * y) + phase)
        if rng.random() < 0.4:
            wave = np.tanh(wave * rng.uniform(1, 8))
        total = total * wave if product else total + wave
    return total.astype(np.float32)


def cells(rng: np.random.Generator, size: int) -> Floats:
    """Return cellular noise (Worley, 1996): distances to random points, as bumps, walls or flat patches."""
    points = rng.uniform(0, size, (int(np.exp(rng.uniform(2.3, 4.8))), 2)).astype(np.float32)
    grid = np.arange(size, dtype=np.float32)
    distance = (grid[:, None, None] - points[:, 0]) ** 2 + (grid[None, :, None] - points[:, 1]) ** 2
    kind = rng.integers(3)
    if kind == 2:
        return rng.random(len(points), np.float32)[distance.argmin(2)]
    nearest = np.sqrt(np.partition(distance, 1, axis=2)[:, :, :2])
    return nearest[:, :, 0] if kind == 0 else np.minimum(nearest[:, :, 1] - nearest[:, :, 0], 6.0)


def warp(rng: np.random.Generator, field: Floats) -> Floats:
    """Return the field displaced by smooth noise, similar to fur and wood grain."""
    size = len(field)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]
    soft = np.exp(-(fx**2 + fy**2) * size**2 / (2 * rng.uniform(1.5, 5) ** 2))
    shifts = [np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) * soft, s=(size, size)) for _ in "yx"]
    reach = size * rng.uniform(0.02, 0.12)
    rows, columns = (
        np.rint(c + reach * s / (s.std() + 1e-6)).astype(np.int64) % size for c, s in zip((y, x), shifts, strict=True)
    )
    return field[rows, columns]


def stretch_contrast(field: Floats) -> Bytes:
    """Return the field scaled to 0..255 between its 1st and 99th percentile."""
    low, high = np.percentile(field, (1, 99))
    return np.clip((field - low) * (255.0 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)

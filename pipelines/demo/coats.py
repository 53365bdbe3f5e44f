"""Colours of the animals' coats, by part of the body, with individual variation."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from pipelines.demo.noise import Floats, smoothstep, tiling_noise
from pipelines.demo.surface import Bools, Surface

TILE = 256
Colour = tuple[float, float, float]


def color_coat(kind: str, surface: Surface, rng: np.random.Generator) -> Floats:
    """Return the colours (n, 3), 0..1, of the visible pixels of one individual; `rng` is the individual's own."""
    paint = {"leopard": _leopard, "ibex": _ibex, "fox": _fox, "hare": _hare}[kind]
    tint = rng.normal(1, 0.06) * rng.normal(1, 0.03, 3)
    fur = _sample_tile(_fur(32), surface.body + rng.uniform(1, 5, 3).astype(np.float32), (6.0, 14.0))
    coat = paint(surface, rng) * np.float32(1) * tint.astype(np.float32)
    coat *= (1 + 0.07 * fur)[..., None]
    _mix_in(coat, surface.is_part("eye"), (0.03, 0.025, 0.02))
    _mix_in(coat, surface.is_part("nose"), (0.08, 0.06, 0.06))
    return np.clip(coat, 0.01, 0.98)


@lru_cache(maxsize=4)
def _fur(cells: int) -> Floats:
    return tiling_noise(np.random.default_rng([33, cells]), TILE, cells, 3)


def _plain(surface: Surface, back: Colour, belly: Colour, low: float, high: float) -> Floats:
    """Blend from belly to back by the height on the body and by the surface normal."""
    height = smoothstep(low, high, surface.body[..., 1] + 0.25 * (high - low) * surface.normals[..., 1])
    return np.asarray(belly, np.float32) + height[..., None] * (
        np.asarray(back, np.float32) - np.asarray(belly, np.float32)
    )


def _mix_in(coat: Floats, where: Floats | Bools, colour: Colour) -> None:
    """Mix `colour` into the coat by a weight (or a mask), in place."""
    weight = np.asarray(where, np.float32)[..., None]
    coat += weight * (np.asarray(colour, np.float32) - coat)


def _sample_tile(tile: Floats, body: Floats, per_metre: tuple[float, float]) -> Floats:
    """Sample a texture tile over the flank, with `per_metre` repeats along the body and upwards."""
    scale = np.float32(TILE / 8)
    across = (body[..., 0] + 0.6 * body[..., 2]) * per_metre[0] * scale
    up = (body[..., 1] - 0.3 * np.abs(body[..., 2])) * per_metre[1] * scale
    return tile[up.astype(np.int64) % TILE, across.astype(np.int64) % TILE]


@lru_cache(maxsize=4)
def _rosettes(pattern: int, size: int = 512, cells: int = 14) -> tuple[Floats, Floats]:
    """Return tiling maps of rings and of solid spots, by the distance to the jittered centres of a grid."""
    rng = np.random.default_rng([77, pattern])
    step = size / cells
    row, column = np.mgrid[0:cells, 0:cells]
    y = (row + 0.5 + rng.uniform(-0.28, 0.28, (cells, cells))) * step
    x = (column + 0.5 * (row % 2) + 0.25 + rng.uniform(-0.28, 0.28, (cells, cells))) * step
    radius = rng.uniform(0.30, 0.44, (cells, cells)) * step
    closest = np.full((size, size), 9.0, np.float32)
    reach = np.arange(-int(step), int(step) + 1)
    for cy, cx, r in zip(y.ravel(), x.ravel(), radius.ravel(), strict=True):
        down, across = int(cy) + reach, int(cx) + reach
        away = np.hypot(across - cx, (down[:, None] - cy) * 1.1).astype(np.float32) / np.float32(r)
        window = np.ix_(down % size, across % size)
        closest[window] = np.minimum(closest[window], away)
    closest += np.float32(0.12) * tiling_noise(rng, size, 32, 2)
    gaps = smoothstep(-1.2, -0.4, tiling_noise(rng, size, 32, 2))
    ring = smoothstep(0.50, 0.68, closest) * (1 - smoothstep(0.95, 1.15, closest)) * gaps
    return ring, 1 - smoothstep(0.55, 0.8, closest)


def _leopard(surface: Surface, rng: np.random.Generator) -> Floats:
    rings, spots = _rosettes(int(rng.integers(4)))
    coat = _plain(surface, (0.60, 0.55, 0.47), (0.86, 0.83, 0.78), 0.30, 0.50)
    body = surface.body
    across = ((body[..., 0] + 0.5 * body[..., 2]) * 512).astype(np.int64)
    up = ((body[..., 1] - 0.4 * np.abs(body[..., 2])) * 512).astype(np.int64)
    dark: Colour = (0.10, 0.09, 0.085)
    _mix_in(coat, surface.is_part("trunk") * rings[up % 512, across % 512] * 0.92, dark)
    small = spots[(up * 2) % 512, (across * 2) % 512]
    _mix_in(coat, surface.is_part("leg", "neck", "head") * small * 0.85, dark)
    bands = smoothstep(0.35, 0.7, np.sin(surface.along * 52).astype(np.float32))
    _mix_in(coat, surface.is_part("tail") * bands * 0.85, dark)
    _mix_in(coat, surface.is_part("tail") & (surface.along > 0.94), dark)
    _mix_in(coat, surface.is_part("muzzle") * 0.35, (0.86, 0.82, 0.76))
    _mix_in(coat, surface.is_part("ear") * 0.45, dark)
    return coat


def _ibex(surface: Surface, rng: np.random.Generator) -> Floats:
    warmth = rng.uniform(0, 1)
    back = (0.36 + 0.12 * warmth, 0.28 + 0.07 * warmth, 0.20 + 0.04 * warmth)
    coat = _plain(surface, back, (0.62, 0.54, 0.44), 0.48, 0.68)
    low = 1 - smoothstep(0.28, 0.58, surface.body[..., 1])
    _mix_in(coat, surface.is_part("leg") * 0.85 * low, (0.13, 0.10, 0.08))
    _mix_in(coat, surface.is_part("horn") * 0.9, (0.30, 0.26, 0.20))
    _mix_in(coat, surface.is_part("beard", "tail") * 0.85, (0.12, 0.09, 0.07))
    _mix_in(coat, surface.is_part("neck") * 0.35, (0.24, 0.18, 0.13))
    _mix_in(coat, surface.is_part("head", "muzzle") * 0.3, (0.40, 0.31, 0.23))
    return coat


def _fox(surface: Surface, rng: np.random.Generator) -> Floats:
    red = rng.uniform(-0.06, 0.06)
    coat = _plain(surface, (0.66 + red, 0.32, 0.12), (0.80, 0.68, 0.56), 0.235, 0.30)
    low = 1 - smoothstep(0.12, 0.22, surface.body[..., 1])
    _mix_in(coat, surface.is_part("leg") * low * 0.95, (0.07, 0.06, 0.055))
    _mix_in(coat, surface.is_part("tail") * 0.9, (0.56 + red, 0.28, 0.12))
    _mix_in(coat, surface.is_part("tail") * smoothstep(0.80, 0.88, surface.along), (0.93, 0.91, 0.87))
    _mix_in(coat, surface.is_part("ear") * smoothstep(0.1, 0.5, surface.along), (0.08, 0.06, 0.05))
    under = 1 - smoothstep(-0.25, 0.25, surface.normals[..., 1])
    _mix_in(coat, surface.is_part("muzzle", "neck", "head") * under * 0.95, (0.92, 0.89, 0.84))
    return coat


def _hare(surface: Surface, rng: np.random.Generator) -> Floats:
    grey = rng.uniform(-0.05, 0.05)
    coat = _plain(surface, (0.50 + grey, 0.41 + grey, 0.30 + grey), (0.86, 0.82, 0.76), 0.05, 0.13)
    pepper = _sample_tile(_fur(64), surface.body, (16.0, 16.0))
    coat *= (1 + 0.16 * pepper)[..., None]
    _mix_in(coat, surface.is_part("ear") * smoothstep(0.78, 0.90, surface.along), (0.06, 0.05, 0.045))
    _mix_in(coat, surface.is_part("tail") * 0.9, (0.93, 0.92, 0.90))
    _mix_in(coat, surface.is_part("muzzle") * 0.35, (0.75, 0.69, 0.60))
    return coat

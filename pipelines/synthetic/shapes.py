"""Shapes from formulas: fractals of iterated function systems, and radial contours.

Kataoka et al., "Pre-training without natural images", 2020, and "Replacing labeled real-image datasets with
auto-generated contours", 2022; contractive systems after Anderson and Farrell, 2022.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def fractals(rng: np.random.Generator, count: int, size: int, points: int = 24_000) -> Floats:
    """Return `count` masks, float32 (count, size, size), of random contractive iterated function systems.

    The chaos game runs for all systems at once, with `points // 60` particles each.
    """
    maps, weights = affine_systems(rng, count)
    particles = rng.uniform(-1, 1, (count, points // 60, 2))
    cumulative = np.cumsum(weights, axis=1)
    rows = np.arange(count)[:, None]
    visited = []
    for step in range(70):
        choice = (rng.random((count, points // 60))[:, :, None] > cumulative[:, None, :-1]).sum(2)
        m = maps[rows, choice]
        particles = np.einsum("cpij,cpj->cpi", m[..., :2], particles) + m[..., 2]
        if step >= 10:
            visited.append(particles)
    return np.stack([density(p, size) for p in np.concatenate(visited, axis=1)])


def affine_systems(rng: np.random.Generator, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return maps (count, 4, 2, 3) with singular values in 0.2..0.9 and their weights by determinant (count, 4)."""
    a, b = rng.uniform(0, 2 * np.pi, (2, count, 4))
    s = np.sort(rng.uniform(0.2, 0.9, (count, 4, 2)), axis=2)[..., ::-1] * rng.choice([-1, 1], (count, 4, 2))
    left = np.stack([np.cos(a), -np.sin(a), np.sin(a), np.cos(a)], -1).reshape(count, 4, 2, 2)
    right = np.stack([np.cos(b), -np.sin(b), np.sin(b), np.cos(b)], -1).reshape(count, 4, 2, 2)
    linear = left @ (s[..., None] * right)
    shift = rng.uniform(-1, 1, (count, 4, 2, 1))
    weights = np.abs(np.linalg.det(linear)) + 0.02
    weights[rng.random(count) < 0.5, 3] = 0.0  # half the systems have three maps
    return np.concatenate([linear, shift], -1), weights / weights.sum(1, keepdims=True)


def density(points: NDArray[np.float64], size: int) -> Floats:
    """Return a mask (size, size) of the number of visits per pixel, which saturates at two."""
    low, high = np.percentile(points, (1, 99), axis=0)
    pixels = ((points - low) / np.maximum(high - low, 1e-9) * (size * 0.9) + size * 0.05).astype(np.int64)
    pixels = pixels[((pixels >= 0) & (pixels < size)).all(1)]
    visits = np.bincount(pixels[:, 0] * size + pixels[:, 1], minlength=size * size).reshape(size, size)
    return np.clip(visits / 2.0, 0, 1).astype(np.float32)


def contour(rng: np.random.Generator, angles: Floats) -> Floats:
    """Return the radius, about 1, at each angle: ellipses, polygons, stars and blobs (radial contours)."""
    elongation, turn = np.exp(rng.uniform(0, 0.6)), rng.uniform(0, np.pi)
    ellipse = 1.0 / np.sqrt((np.cos(angles - turn) / elongation) ** 2 + (np.sin(angles - turn) * elongation) ** 2)
    kind = rng.integers(4)
    if kind == 0:
        return ellipse.astype(np.float32)
    if kind == 1:  # polygon
        wedge = 2 * np.pi / rng.integers(3, 7)
        return (ellipse * np.cos(wedge / 2) / np.cos((angles + turn) % wedge - wedge / 2)).astype(np.float32)
    orders = np.arange(2, 10 if kind == 2 else 24)
    sizes = rng.standard_normal(len(orders)) / orders ** rng.uniform(0.6, 1.6) * rng.uniform(0.1, 0.7)
    bumps = np.cos(np.multiply.outer(angles, orders) + rng.uniform(0, 2 * np.pi, len(orders))) @ sizes
    return (ellipse * np.clip(1 + bumps, 0.15, 2.5)).astype(np.float32)

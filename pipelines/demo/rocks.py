"""Draw boulders: blocks cut by random planes, weathered by noise, with lichen."""

from __future__ import annotations

import numpy as np
from PIL import Image

from pipelines.demo.layers import Sprite, encode_normals
from pipelines.demo.noise import Floats, fractal_noise, smoothstep

Colour = tuple[float, float, float]


def draw_boulder(rng: np.random.Generator, width: float, height: float, colour: Colour, lichen: float = 0.5) -> Sprite:
    """Draw a boulder that fills a box of `width` x `height` pixels and rests on its lower edge."""
    w, h = max(8, int(width)), max(6, int(height))
    across = np.linspace(-1.05, 1.05, w, dtype=np.float32)[None, :]
    up = np.linspace(1.05, -0.25, h, dtype=np.float32)[:, None]
    depth, facet = _cut_block(rng, across, up)
    rough = fractal_noise(rng, h, w, 5, 5, 0.6)
    depth = depth + 0.16 * rough
    bump_y, bump_x = np.gradient(rough)
    normals = facet + np.dstack([-bump_x * w, bump_y * h, 0 * bump_x]).astype(np.float32) * np.float32(0.13)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    stone = (
        np.asarray(colour, np.float32)
        * (1 + 0.55 * rough + 0.12 * rng.standard_normal((h, w), dtype=np.float32))[..., None]
    )
    patches = smoothstep(0.16, 0.26, fractal_noise(rng, h, w, 6, 3)) * np.float32(lichen)
    growth = np.asarray([(0.62, 0.52, 0.20), (0.55, 0.58, 0.47)][int(rng.integers(2))], np.float32)
    stone += patches[..., None] * (growth - stone)
    foot = smoothstep(-0.28, 0.12, up + 0.10 * rough)  # darker, and ragged, where it meets the ground
    stone *= (0.45 + 0.55 * foot)[..., None]
    alpha = smoothstep(0.0, 3.0 / w, depth) * smoothstep(-0.24, -0.16, up + 0.12 * rough)
    packed = np.clip(np.dstack([stone, alpha]) * 255, 0, 255).astype(np.uint8)
    return Sprite(Image.fromarray(packed), encode_normals(normals))


def _cut_block(rng: np.random.Generator, across: Floats, up: Floats) -> tuple[Floats, Floats]:
    """Return the depth of a block cut by planes (negative: outside) and its normals, at each pixel."""
    count = int(rng.integers(9, 15))
    angle = rng.uniform(-0.15, np.pi + 0.15, count)
    tilt = rng.uniform(0.25, 1.2, count)
    planes = np.column_stack([np.cos(angle) * np.sin(tilt), np.sin(angle) * np.sin(tilt), np.cos(tilt)])
    side, top = rng.uniform(0.25, 0.75, 2), rng.normal(0, 0.3)
    planes[0], planes[1], planes[2] = (0.9, side[0], 0.3), (-0.9, side[1], 0.3), (top, 0.95, 0.3)
    reach = rng.uniform(0.60, 0.95, count)
    depth = np.full(np.broadcast_shapes(across.shape, up.shape), 9.0, np.float32)
    nearest = np.zeros(depth.shape, np.int64)
    for index, ((a, b, c), far) in enumerate(zip(planes, reach, strict=True)):
        level = ((far - a * across - b * up) / c).astype(np.float32)
        nearest[level < depth] = index
        np.minimum(depth, level, out=depth)
    return depth, planes.astype(np.float32)[nearest]

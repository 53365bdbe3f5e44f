"""Render synthetic images from formulas, for pretraining and calibration.

Scenes follow the dead leaves model (Lee, Mumford and Huang, 2001; Baradad et al., "Learning to see by looking at
noise", 2021): shapes of all sizes, each with its own texture, colours and shading, occlude one another.
"""

from __future__ import annotations

import numpy as np

from pipelines.synthetic.shapes import Floats, contour, fractals
from pipelines.synthetic.textures import Bytes, textures

TEXTURES = 96  # shared by the scenes of one block
FRACTALS = 48
BLOCK = 256  # scenes that share textures and fractals

Leaf = tuple[slice, slice, Floats, Floats]  # rows, columns, mask in 0..1, shading about 1


def render(count: int, size: int = 128, seed: int = 0) -> Bytes:
    """Render `count` scenes, uint8 (count, size, size, 3); the first scenes of a seed are the same for any count."""
    starts = range(0, count, BLOCK)
    blocks = [render_block(start // BLOCK, min(BLOCK, count - start), size, seed) for start in starts]
    return np.concatenate(blocks) if blocks else np.empty((0, size, size, 3), np.uint8)


def render_block(block: int, count: int, size: int, seed: int) -> Bytes:
    """Render the first `count` scenes of one block, which share textures and fractals."""
    rng = np.random.default_rng([seed, block])
    fields, masks = textures(rng, TEXTURES, size), fractals(rng, FRACTALS, size)
    return np.stack([scene(rng, fields, masks, size) for _ in range(count)])


def palette(rng: np.random.Generator) -> Floats:
    """Return 256 colours, float32 (256, 3) in 0..255, interpolated between two to four related ones."""
    base, spread = rng.uniform(20, 235) + rng.normal(0, rng.choice([6, 22, 55]), 3), rng.uniform(5, 75)
    knots = rng.integers(2, 5)
    lights = rng.normal(0, spread, (knots, 1)) + rng.normal(0, spread * rng.uniform(0, 0.7), (knots, 3))
    ramp = np.linspace(0, knots - 1, 256)
    return np.stack([np.interp(ramp, np.arange(knots), c) for c in (base + lights).T], 1).astype(np.float32)


def scene(rng: np.random.Generator, fields: Bytes, masks: Floats, size: int) -> Bytes:
    """Return one image, uint8 (size, size, 3): a textured background and one to many leaves."""
    canvas = palette(rng)[sample_texture(rng, fields, size, size)]  # background
    light = rng.uniform(0, 2 * np.pi)
    few = rng.random() < 0.4
    for _ in range(rng.integers(1, 5) if few else rng.integers(6, 36)):
        radius = size * (rng.uniform(0.12, 0.5) if few else 0.06 * (1 - rng.random() * 0.99) ** -0.5)
        if rng.random() < 0.15:
            leaf = fractal_leaf(rng, masks, size, radius * 1.4)
        else:
            leaf = contour_leaf(rng, size, radius, light)
        paint(rng, canvas, fields, leaf)
    if rng.random() < 0.2:  # symmetric, as faces and artefacts are
        canvas = np.where(np.arange(size)[None, :, None] < size // 2, canvas, canvas[:, ::-1])
    canvas += rng.normal(0, rng.uniform(0, 6), (*canvas.shape[:2], 1))
    return np.clip(canvas, 0, 255).astype(np.uint8)


def sample_texture(rng: np.random.Generator, fields: Bytes, height: int, width: int) -> Bytes:
    """Return a window (height, width) of a random field, rotated and scaled; fields repeat at their edges."""
    field = fields[rng.integers(len(fields))]
    angle, scale = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(-0.9, 0.7))
    c, s = np.float32(np.cos(angle) * scale), np.float32(np.sin(angle) * scale)
    oy, ox = rng.uniform(0, len(field), 2).astype(np.float32)
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    n = len(field)
    return field[(c * y + s * x + oy).astype(np.int32) % n, (c * x - s * y + ox).astype(np.int32) % n]


def random_window(rng: np.random.Generator, size: int, reach: float) -> tuple[slice, slice, Floats, Floats]:
    """Return rows, columns and the offsets from the random centre of a box that extends `reach` pixels."""
    cy, cx = rng.uniform(0, size, 2)
    top, left = max(int(cy - reach), 0), max(int(cx - reach), 0)
    rows, columns = slice(top, min(int(cy + reach) + 1, size)), slice(left, min(int(cx + reach) + 1, size))
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(cy)
    x = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - np.float32(cx)
    return rows, columns, y, x


def contour_leaf(rng: np.random.Generator, size: int, radius: float, light: float) -> Leaf:
    """Return a leaf bounded by a radial contour, shaded as a convex surface."""
    table = contour(rng, np.linspace(0, 2 * np.pi, 256, endpoint=False, dtype=np.float32)) * np.float32(radius)
    rows, columns, y, x = random_window(rng, size, float(table.max()) + 1)
    distance = np.sqrt(y * y + x * x)
    edge = table[(np.arctan2(y, x) * np.float32(128 / np.pi)).astype(np.int32) & 255]
    mask = np.clip((edge - distance) / np.float32(rng.choice([1.0, 1.0, 3.0])) + 0.5, 0, 1)
    slope = (np.cos(light) * x + np.sin(light) * y) / np.float32(radius)
    shading = 1 + np.float32(rng.uniform(0, 0.5)) * slope - np.float32(rng.uniform(0, 0.5)) * (distance / edge) ** 2
    return rows, columns, mask, np.clip(shading, 0.2, 1.8)


def fractal_leaf(rng: np.random.Generator, masks: Floats, size: int, radius: float) -> Leaf:
    """Return a leaf in the shape of a fractal, rotated and scaled."""
    rows, columns, y, x = random_window(rng, size, radius)
    angle, scale = rng.uniform(0, 2 * np.pi), np.float32(masks.shape[1] / (2 * radius))
    c, s = np.float32(np.cos(angle)) * scale, np.float32(np.sin(angle)) * scale
    half, last = masks.shape[1] / 2, masks.shape[1] - 1
    v, u = (c * y + s * x + half).astype(np.int32), (c * x - s * y + half).astype(np.int32)
    inside = (v >= 0) & (v <= last) & (u >= 0) & (u <= last)
    mask = masks[rng.integers(len(masks)), np.clip(v, 0, last), np.clip(u, 0, last)] * inside
    return rows, columns, mask, np.ones_like(mask)


def paint(rng: np.random.Generator, canvas: Floats, fields: Bytes, leaf: Leaf) -> None:
    """Paint a leaf with its own texture and colours on the canvas, in place."""
    rows, columns, mask, shading = leaf
    colour = palette(rng)[sample_texture(rng, fields, *mask.shape)] * shading[:, :, None]
    under = canvas[rows, columns]
    canvas[rows, columns] = under + (colour - under) * mask[:, :, None]

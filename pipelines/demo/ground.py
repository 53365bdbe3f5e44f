"""Draw sky, hills and soil of a site: everything flat or far away."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipelines.demo.layers import CAMERA_HEIGHT, FOCAL, HEIGHT, SKY, WIDTH, Layers, depth_code, encode_normals
from pipelines.demo.noise import Floats, fractal_noise, smooth_noise, smoothstep, tiling_noise
from pipelines.demo.plants import mix_with_straw, shades
from pipelines.demo.sites import CameraSite


def draw_ground(site: CameraSite, rng: np.random.Generator) -> Layers:
    """Draw sky, hills and soil."""
    colour = np.full((HEIGHT, WIDTH, 3), 0.55, np.float32)
    normals = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    normals[..., 1], normals[..., 2] = 0.55, 0.83
    depth = np.full((HEIGHT, WIDTH), SKY, np.uint8)
    for ridge in range(site.ridges):
        _draw_ridge(site, rng, ridge, colour, normals, depth)
    rows = slice(site.horizon + 2, HEIGHT)
    colour[rows], normals[rows], depth[rows] = _draw_soil(site, rng)
    packed = Image.fromarray(np.clip(colour * 255, 0, 255).astype(np.uint8))
    _scatter_details(packed, site, rng)
    return Layers(packed, encode_normals(normals), Image.fromarray(depth))


def _draw_ridge(
    site: CameraSite, rng: np.random.Generator, ridge: int, colour: Floats, normals: Floats, depth: NDArray[np.uint8]
) -> None:
    """Draw one ridge of hills, the far ones first, with snow on the high ones."""
    nearness = ridge / max(site.ridges - 1, 1)
    tall = site.horizon * (0.78 - 0.42 * nearness)
    outline = fractal_noise(rng, 1 + 1, WIDTH, 3 + 2 * ridge, 6, 0.5)[0]
    crest = site.horizon - tall * (0.55 + 0.6 * outline)
    rows = np.arange(site.horizon + 3, dtype=np.float32)[:, None]
    inside = rows > crest
    relief = fractal_noise(rng, site.horizon + 3, WIDTH, 14, 5, 0.65)
    slope_y, slope_x = np.gradient(relief)
    rock = np.asarray(site.rock, np.float32) * 0.8 + np.asarray(site.grass, np.float32) * (0.1 + 0.25 * nearness)
    paint = rock * (1 + 0.5 * relief[..., None])
    high = (site.horizon - rows) / max(tall, 1) + 0.35 * relief
    snow = smoothstep(site.snow_line, site.snow_line + 0.12, high.astype(np.float32)) * (1 - nearness)
    paint += snow[..., None] * (np.float32(0.93) - paint)
    facing = np.dstack([-slope_x * 9, 0.55 + 0 * relief, 0.7 + slope_y * 9]).astype(np.float32)
    facing /= np.linalg.norm(facing, axis=-1, keepdims=True)
    top = slice(0, site.horizon + 3)
    colour[top][inside], normals[top][inside] = paint[inside], facing[inside]
    depth[top][inside] = depth_code(1500.0 * (1 - nearness) + 90)


def _draw_soil(site: CameraSite, rng: np.random.Generator) -> tuple[Floats, Floats, NDArray[np.uint8]]:
    """Draw the ground in perspective: soil, grass cover, pebbles, and the trail of the animals."""
    rows = np.arange(site.horizon + 2, HEIGHT, dtype=np.float32)[:, None]
    metres = np.float32(FOCAL * CAMERA_HEIGHT) / (rows - site.horizon)
    across = (np.arange(WIDTH, dtype=np.float32)[None, :] - WIDTH / 2) * metres / np.float32(FOCAL)
    coarse, fine = tiling_noise(rng, 512, 4, 5), tiling_noise(rng, 512, 64, 3)
    patch = _sample_tile(coarse, across, metres, 40)
    grit = _sample_tile(fine, across, metres, 200) * np.clip(2.2 / metres, 0.15, 1)
    trail = np.exp(-(((across - 0.5 * np.sin(metres * 0.8 + site.seed)) / 0.28) ** 2))
    cover = smoothstep(-0.7, 0.7, patch + 2.2 * (site.cover - 0.5)) * (1 - 0.75 * trail)
    soil, grass = np.asarray(site.soil, np.float32), np.asarray(mix_with_straw(site.grass, 0.35), np.float32)
    colour = soil * (1 + 0.12 * trail[..., None]) + cover[..., None] * (grass - soil)
    colour = colour * (1 + 0.07 * patch + 0.16 * grit)[..., None]
    pebbles = smoothstep(1.5, 2.0, _sample_tile(tiling_noise(rng, 512, 32, 1), across, metres, 120)) * (1 - 0.6 * cover)
    colour += 0.6 * pebbles[..., None] * (np.asarray(site.rock, np.float32) * 1.15 - colour)
    down, right = np.gradient(grit + 1.5 * pebbles + 0.6 * smooth_noise(rng, grit.shape[0], WIDTH, 40))
    normals = np.dstack([-right * 0.45, np.ones_like(grit), 0.30 + down * 0.45])
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return colour, normals.astype(np.float32), np.broadcast_to(depth_code(metres), grit.shape)


def _scatter_details(colour: Image.Image, site: CameraSite, rng: np.random.Generator) -> None:
    """Scatter pebbles, dry blades and short grass over the soil, finer with distance."""
    draw, count = ImageDraw.Draw(colour), 2600
    rows = np.sort(HEIGHT - (HEIGHT - site.horizon - 6) * rng.beta(1.0, 1.25, count))
    scales = (rows - site.horizon) / CAMERA_HEIGHT
    columns, sizes, light = (
        rng.uniform(0, WIDTH, count),
        scales * rng.uniform(0.004, 0.017, count),
        rng.uniform(0.6, 1.3, count),
    )
    stones, blades = shades(site.rock, light, rng), shades(mix_with_straw(site.grass, 0.4), light, rng, 0.12)
    tips = rng.normal(0, 2.6, count) * sizes, rng.uniform(0.5, 2.6, count) * sizes * (0.4 + site.cover)
    is_stone = rng.random(count) < 0.14 * (1.2 - site.cover)
    for i in range(count):
        x, y, size = columns[i], rows[i], sizes[i]
        if is_stone[i]:
            under = tuple(value * 2 // 5 for value in stones[i])
            draw.ellipse((x - size, y - size * 0.35, x + size * 1.1, y + size * 0.6), fill=under)
            draw.ellipse((x - size, y - size * 0.6, x + size, y + size * 0.45), fill=stones[i])
        else:
            draw.line([x, y, x + tips[0][i], y - tips[1][i]], fill=blades[i], width=1 if scales[i] < 350 else 2)


def _sample_tile(tile: Floats, across: Floats, metres: Floats, per_metre: float) -> Floats:
    """Sample a texture tile on the ground, with `per_metre` of its pixels to a metre."""
    size = len(tile)
    return tile[(metres * per_metre).astype(np.int64) % size, (across * per_metre).astype(np.int64) % size]

"""Draw plants as sprites: tufts of grass, juniper bushes, trees, and twigs that hang into the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from pipelines.demo.layers import Sprite, encode_normals
from pipelines.demo.noise import Floats, fractal_noise

FINE = 2  # plants are drawn this much larger, then reduced
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Plant:
    """A sprite with the pixel of its root, and its flexibility (slope at full wind)."""

    sprite: Sprite
    root: tuple[float, float]
    flexibility: float


def shades(colour: Colour, light: Floats, rng: np.random.Generator, spread: float = 0.08) -> list[tuple[int, ...]]:
    """Return one RGB colour for each value of `light`, with a small random variation."""
    tint = np.asarray(colour) * np.asarray(light)[:, None] * rng.normal(1, spread, (len(light), 3))
    return [tuple(row) for row in np.clip(tint * 255, 0, 255).astype(int).tolist()]


def _canvas(width: float, height: float, colour: Colour) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Create a transparent image with the plant's hidden colour, so that edges do not darken when downscaled."""
    hidden = (*(int(255 * value) for value in colour), 0)
    image = Image.new("RGBA", (max(4, int(width * FINE)), max(4, int(height * FINE))), hidden)
    return image, ImageDraw.Draw(image)


def _downscale(image: Image.Image) -> Image.Image:
    return image.resize((image.width // FINE, image.height // FINE), Image.Resampling.BOX)


def draw_tuft(rng: np.random.Generator, height: float, colour: Colour) -> Plant:
    """Draw a tuft of grass, `height` pixels tall, with blades that fan out and droop."""
    width = height * 1.7 + 6
    image, draw = _canvas(width, height * 1.05 + 3, colour)
    root_x, root_y = image.width / 2, image.height - 2
    blades = int(rng.integers(26, 46))
    lean, length = rng.normal(0, 0.5, blades), height * FINE * rng.uniform(0.45, 1, blades)
    base = root_x + rng.normal(0, 0.10, blades) * height * FINE
    thick = max(1.0, height * FINE * 0.016)
    tip_x, tip_y = base + lean * length * 0.75, root_y - length * (1 - 0.28 * np.minimum(np.abs(lean), 1.5))
    bend_x, bend_y = base + lean * length * 0.18, root_y - length * 0.6
    fills = shades(colour, np.linspace(0.55, 1.1, blades), rng)
    for b, tx, ty, x, y, fill in zip(base, tip_x, tip_y, bend_x, bend_y, fills, strict=True):
        draw.polygon([b - thick, root_y, x - thick * 0.7, y, tx, ty, x + thick * 0.7, y, b + thick, root_y], fill=fill)
    small = _downscale(image)
    return Plant(Sprite(small, None), (small.width / 2, small.height - 1), rng.uniform(0.10, 0.22))


def draw_bush(rng: np.random.Generator, height: float, colour: Colour) -> Plant:
    """Draw a rounded bush: many small sprays, dark inside and below, light above."""
    width = height * rng.uniform(1.3, 2.0)
    image, draw = _canvas(width, height, colour)
    count = int(np.clip(height * 11, 160, 1100))
    angle, out = rng.uniform(0, np.pi, count), np.sqrt(rng.uniform(0.02, 1, count))
    lumps = 0.82 + 0.10 * np.sin(angle * 5 + rng.uniform(0, 6)) + 0.05 * np.sin(angle * 11)
    x = image.width * (0.5 + 0.46 * np.cos(angle) * out * lumps)
    y = image.height * (1 - 0.95 * np.sin(angle) * out * lumps)
    size = FINE * rng.uniform(0.008, 0.017, count) * height + 0.7
    light = 0.40 + 0.85 * (1 - y / image.height) * (0.45 + 0.55 * out)
    tilt = rng.normal(0, 0.8, count)
    tip_x, tip_y = x + 3.4 * size * np.sin(tilt), y - 3.4 * size * np.cos(tilt)
    fills = shades(colour, light, rng, 0.1)
    for i in np.argsort(out + rng.normal(0, 0.25, count)):
        left, right, row = x[i] - size[i], x[i] + size[i], y[i]
        draw.polygon([left, row, tip_x[i], tip_y[i], right, row, x[i], row + size[i]], fill=fills[i])
    small = _downscale(image)
    return Plant(Sprite(small, _dome(small.size)), (small.width / 2, small.height - 2), rng.uniform(0.01, 0.04))


def _dome(size: tuple[int, int]) -> Image.Image:
    """Return the normals of half a ball: upwards at the top, sideways at the sides."""
    across = np.linspace(-1, 1, size[0], dtype=np.float32)[None, :] * np.ones((size[1], 1), np.float32)
    up = np.linspace(1, -0.1, size[1], dtype=np.float32)[:, None] * np.ones((1, size[0]), np.float32)
    toward = np.full_like(up, 0.7)
    normals = np.dstack([across, up, toward])
    return encode_normals(normals / np.linalg.norm(normals, axis=-1, keepdims=True))


def draw_conifer(rng: np.random.Generator, height: float, colour: Colour) -> Plant:
    """Draw a spruce: tiers of drooping branches around a stem."""
    image, draw = _canvas(height * 0.42, height, colour)
    middle, tall = image.width / 2, image.height
    draw.polygon([(middle - tall * 0.014, tall), (middle, 0), (middle + tall * 0.014, tall)], fill=(70, 54, 40, 255))
    for y in np.linspace(0.03, 0.93, int(np.clip(height / 3, 14, 60))):
        reach = image.width * 0.5 * y**0.9 * rng.uniform(0.65, 1)
        for side in (-1, 1):
            for _ in range(3):
                length = reach * rng.uniform(0.4, 1)
                tip = (middle + side * length, (y + 0.06 * length / reach) * tall)
                root = y * tall
                thick = tall * 0.022
                draw.polygon(
                    [(middle, root - thick), tip, (middle, root + thick)],
                    fill=shades(colour, rng.uniform(0.55, 1.1, 1), rng)[0],
                )
    small = _downscale(image)
    return Plant(Sprite(small, _dome(small.size)), (small.width / 2, small.height - 2), rng.uniform(0.004, 0.015))


def draw_trunk(rng: np.random.Generator, width: float, height: float, colour: Colour) -> Plant:
    """Draw the trunk of a nearby tree, with furrowed bark and a flared base."""
    h, w = int(height), int(width * 1.7)
    down = np.linspace(0, 1, h, dtype=np.float32)[:, None]
    across = np.linspace(-1, 1, w, dtype=np.float32)[None, :] + 0.08 * np.sin(down * 5 + rng.uniform(0, 6))
    spread = 0.55 + 0.06 * down + 0.35 * np.maximum(0, down - 0.88) ** 1.3 * 8
    round_ = np.clip(across / spread, -1, 1).astype(np.float32)
    bark = fractal_noise(rng, h, w, 9, 3)
    furrows = np.sin(across * 26 + 5 * fractal_noise(rng, h, w, 4, 3)).astype(np.float32)
    light = 0.8 + 0.25 * furrows + 0.5 * bark
    rgb = np.clip(np.asarray(colour, np.float32) * light[..., None] * 255, 0, 255)
    alpha = np.where(np.abs(across) < spread, 255, 0) + 0 * down
    normals = np.dstack([round_ + 0.25 * furrows, 0.1 + 0 * round_, np.sqrt(np.maximum(0.05, 1 - round_**2))])
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    image = Image.fromarray(np.dstack([rgb, alpha]).astype(np.uint8))
    return Plant(Sprite(image, encode_normals(normals)), (w / 2, h - 4), 0.0)


def draw_twig(rng: np.random.Generator, length: float, colour: Colour) -> Plant:
    """Draw a twig with leaves that hangs into the image from above; its root is at the top."""
    image, draw = _canvas(length * 1.2, length, colour)
    x, y, heading = image.width / 2, 0.0, np.pi / 2 + rng.normal(0, 0.25)
    step = length * FINE / 26
    for i in range(24):
        heading += rng.normal(0, 0.10)
        x2, y2 = x + step * np.cos(heading), y + step * np.sin(heading)
        draw.line([(x, y), (x2, y2)], fill=(74, 58, 44, 255), width=max(1, int(length * FINE * 0.010 * (1 - i / 26))))
        for side in (-1, 1):
            for _ in range(2):
                aim = heading + side * rng.uniform(0.5, 1.3)
                _leaf(
                    draw,
                    (x2, y2),
                    aim,
                    length * FINE * rng.uniform(0.05, 0.10),
                    shades(colour, rng.uniform(0.55, 1.15, 1), rng)[0],
                )
        x, y = x2, y2
    small = _downscale(image)
    return Plant(Sprite(small, _dome(small.size)), (small.width / 2, 0), rng.uniform(0.06, 0.14))


def _leaf(draw: ImageDraw.ImageDraw, root: tuple[float, float], aim: float, size: float, fill: tuple[int, ...]) -> None:
    cos, sin = np.cos(aim) * size, np.sin(aim) * size
    x, y = root
    points = [
        (x, y),
        (x + cos * 0.5 - sin * 0.22, y + sin * 0.5 + cos * 0.22),
        (x + cos, y + sin),
        (x + cos * 0.5 + sin * 0.22, y + sin * 0.5 - cos * 0.22),
    ]
    draw.polygon(points, fill=fill)


def mix_with_straw(colour: Colour, fraction: float) -> Colour:
    """Mix a colour with a fraction of straw, as late in the season."""
    straw: Floats = np.array((0.66, 0.58, 0.38), np.float32)
    mixed = (1 - fraction) * np.array(colour, np.float32) + fraction * straw
    return (float(mixed[0]), float(mixed[1]), float(mixed[2]))

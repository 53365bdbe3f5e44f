"""Draw animals as sprites from a species, an individual and a pose, with volume and coat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pipelines.demo.coats import color_coat
from pipelines.demo.layers import Sprite
from pipelines.demo.noise import smooth_noise
from pipelines.demo.skeletons import KINDS, Pose, build_skeleton
from pipelines.demo.surface import Surface, render_surface

__all__ = ["HEIGHTS", "KINDS", "Animal", "draw_animal"]

HEIGHTS = {"leopard": 0.72, "ibex": 1.45, "fox": 0.52, "hare": 0.44}  # metres, ears or horns included
FINEST = {"leopard": 210.0, "ibex": 150.0, "fox": 340.0, "hare": 400.0}  # pixels per metre worth drawing


@dataclass(frozen=True)
class Animal:
    """An animal's sprite, with the positions of its feet and eyes in pixels of the sprite."""

    sprite: Sprite
    foot: float
    centre: float
    eyes: list[tuple[float, float]]


def draw_animal(kind: str, pose: Pose, yaw: float, pixels_per_metre: float, individual: int) -> Animal:
    """Draw one animal at its size in the image. A yaw of 0 faces right, pi left, pi/2 the camera."""
    drawn = min(pixels_per_metre * 1.15, FINEST[kind])
    surface = render_surface(build_skeleton(kind, pose), yaw, 0.10, drawn)
    coat = color_coat(kind, surface, np.random.default_rng([individual, 1]))
    seen = _ruffle_outline(surface.index, np.random.default_rng([individual, 2]))
    colour = np.zeros((*seen.shape, 4), np.uint8)
    colour[..., :3] = (coat * 255).astype(np.uint8)[seen]
    colour[..., 3] = (seen >= 0) * np.uint8(255)
    normals = _smooth_normals(surface, seen)
    scale = pixels_per_metre / drawn
    size = (max(2, round(seen.shape[1] * scale)), max(2, round(seen.shape[0] * scale)))
    sprite = Sprite(
        Image.fromarray(colour).resize(size, Image.Resampling.BICUBIC),
        normals.resize(size, Image.Resampling.BILINEAR),
    )
    eyes = [(x * scale, y * scale) for x, y in surface.eyes]
    return Animal(sprite, surface.foot * scale, surface.centre * scale, eyes)


def _ruffle_outline(index: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
    """Shift every pixel a little, so that outlines look like fur."""
    height, width = index.shape
    reach = 0.8 + width / 300
    down = (smooth_noise(rng, height, width, width // 3) - 0.5) * reach + np.arange(height)[:, None]
    across = (smooth_noise(rng, height, width, width // 3) - 0.5) * reach + np.arange(width)
    rows = np.clip(np.rint(down), 0, height - 1).astype(np.int32)
    columns = np.clip(np.rint(across), 0, width - 1).astype(np.int32)
    return index[rows, columns]


def _smooth_normals(surface: Surface, seen: NDArray[np.int32]) -> Image.Image:
    """Blur the normals, which hides the creases between the balls, and normalise them to unit length."""
    inside = seen >= 0
    packed = np.full((*seen.shape, 3), 128, np.uint8)
    packed[inside] = np.clip(surface.normals * 127.5 + 128, 0, 255).astype(np.uint8)[seen[inside]]
    blurred = Image.fromarray(packed).filter(ImageFilter.BoxBlur(1.0 + seen.shape[1] / 130))
    soft = np.asarray(blurred)[inside].astype(np.float32) - 128
    soft *= (127.5 / np.maximum(np.sqrt((soft * soft).sum(axis=1)), 8.0))[:, None]
    packed[inside] = (soft + 128).astype(np.uint8)
    return Image.fromarray(packed)

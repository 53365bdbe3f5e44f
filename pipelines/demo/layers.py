"""Colour, surface normals and depth of a scene in separate layers, which are lit afterwards.

Deferred shading (Saito and Takahashi, 1990): sprites are pasted into three layers, and the light is computed
once, at the end. Axes: x to the right, y up, z towards the camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.demo.noise import Floats

WIDTH, HEIGHT = 640, 480
SKY = 255  # depth code of the sky; everything solid stays below 200
CAMERA_HEIGHT = 0.62  # metres above the ground
FOCAL = 560.0  # pixels


def depth_code(metres: Floats | float) -> NDArray[np.uint8]:
    """Encode distances as bytes, near ones more finely than far ones."""
    metres = np.asarray(metres, np.float32)
    return (200 * metres / (metres + 8)).astype(np.uint8)


def depth_metres() -> Floats:
    """Return the distance of each of the 256 depth codes; the sky's is a kilometre or more."""
    codes = np.minimum(np.arange(256, dtype=np.float32), 199)
    return 8 * codes / (200 - codes)


def encode_normals(normals: Floats) -> Image.Image:
    """Pack unit vectors (height, width, 3) into an RGB image."""
    return Image.fromarray(np.clip(normals * 127.5 + 128, 0, 255).astype(np.uint8))


@dataclass(frozen=True)
class Sprite:
    """A cut-out object: its colours with alpha, and its surface normals."""

    colour: Image.Image  # RGBA
    normals: Image.Image | None  # RGB; None: it keeps the normals of the layers behind it

    @cached_property
    def mask(self) -> Image.Image:
        """Return the alpha channel."""
        return self.colour.getchannel("A")

    @property
    def size(self) -> tuple[int, int]:
        return self.colour.size

    def shear(self, slope: float, pivot: float) -> Sprite:
        """Return the sprite sheared by `slope` pixels per row; the row `pivot` stays fixed."""
        if abs(slope) * self.size[1] < 0.5:
            return self
        matrix = (1, slope, -slope * pivot, 0, 1, 0)
        transform, nearest = Image.Transform.AFFINE, Image.Resampling.NEAREST
        return Sprite(self.colour.transform(self.size, transform, matrix, nearest), self.normals)


class Layers:
    """The three layers of one view: colour, normals and depth."""

    def __init__(self, colour: Image.Image, normals: Image.Image, depth: Image.Image):
        self.colour = colour
        self.normals = normals
        self.depth = depth

    def copy(self) -> Layers:
        """Return an independent copy."""
        return Layers(self.colour.copy(), self.normals.copy(), self.depth.copy())

    def paste(self, sprite: Sprite, left: int, top: int, metres: float) -> None:
        """Paste a sprite in front of everything pasted before, clipped at the borders."""
        width, height = sprite.size
        box = (left, top, left + width, top + height)
        mask = sprite.mask
        self.colour.paste(sprite.colour, box, mask)
        if sprite.normals is not None:
            self.normals.paste(sprite.normals, box, mask)
        if sprite.normals is not None or height > 24:  # low grass is as far as the ground behind it
            self.depth.paste(int(200 * metres / (metres + 8)), box, mask)

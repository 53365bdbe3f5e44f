"""Fit an image into the input of a detector without a change of its aspect ratio, and places in it back again."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from pipelines.images.crop import Box
from pipelines.images.resize import resize_image

GREY = (114, 114, 114)  # of the border, as detectors are trained with

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Edges = np.ndarray[Any, np.dtype[np.float64]]


class Letterbox(NamedTuple):
    """Where the image is in the input, in pixels of the input."""

    left: int
    top: int
    width: int
    height: int

    def to_image(self, edges: Edges) -> Box | None:
        """Return left, top, right, bottom in pixels of the input as a box in the image; None if it is outside."""
        scale = np.array([self.width, self.height] * 2, float)
        left, top, right, bottom = np.clip((edges - [self.left, self.top] * 2) / scale, 0.0, 1.0).tolist()
        return Box(left, top, right - left, bottom - top) if right > left and bottom > top else None


def letterbox(image: Image.Image, width: int, height: int) -> tuple[Pixels, Letterbox]:
    """Return an RGB image within width x height pixels, uint8 of shape (height, width, 3), and where it is there."""
    ratio = min(width / image.width, height / image.height)
    inner = max(1, round(image.width * ratio)), max(1, round(image.height * ratio))
    place = Letterbox((width - inner[0]) // 2, (height - inner[1]) // 2, *inner)
    canvas = Image.new("RGB", (width, height), GREY)
    canvas.paste(resize_image(image, *inner, "bilinear"), (place.left, place.top))
    return np.asarray(canvas), place

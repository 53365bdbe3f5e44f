"""Grey thumbnails of one size, the input of the motion detector."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from pipelines.images.crop import cut_bottom
from pipelines.images.decode import decode
from pipelines.images.resize import resize_image

WIDTH, HEIGHT = 160, 120  # pixels, whatever the aspect ratio of the image
_COLOR_SPREAD = 5.0  # of the differences between channels, of 255; below, the image is infrared

Grey = np.ndarray[Any, np.dtype[np.uint8]]


class Thumbnail(NamedTuple):
    """A thumbnail: uint8 of shape (HEIGHT, WIDTH), and whether the image was taken with infrared light."""

    grey: Grey
    is_infrared: bool


def read_thumbnail(content: bytes, *, max_pixels: int, crop_bottom: float = 0.0) -> Thumbnail:
    """Return the thumbnail of an image without the fraction `crop_bottom` of its height.

    A JPEG is decoded at a reduced scale. Raises ImageError as `decode` does.
    """
    min_side = math.ceil(HEIGHT / 2 / (1 - crop_bottom))  # decode keeps twice as much
    image = cut_bottom(decode(content, max_pixels=max_pixels, min_side=min_side), crop_bottom)
    small = resize_image(image, WIDTH, HEIGHT, "bilinear")
    return Thumbnail(np.array(small.convert("L")), is_infrared(np.asarray(small)))


def is_infrared(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bool:
    """Return whether RGB pixels of shape (height, width, 3) are grey, or of one tint, as in infrared light."""
    red, green, blue = np.moveaxis(pixels.astype(np.float32), 2, 0)
    return bool(max((red - green).std(), (blue - green).std()) < _COLOR_SPREAD)

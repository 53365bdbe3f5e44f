"""Crop images, by pixels or by fractions of their sides."""

from __future__ import annotations

from typing import NamedTuple

from PIL import Image


class Box(NamedTuple):
    """A rectangle in fractions of an upright image's width and height; x and y are its upper left corner."""

    x: float
    y: float
    width: float
    height: float


def crop_pixels(image: Image.Image, left: int, top: int, width: int, height: int) -> Image.Image:
    """Crop without the warning and the error that `Image.crop` raises above the process-wide limit on pixels."""
    part = Image.new("RGB", (width, height))
    part.paste(image, (-left, -top))
    return part


def crop_box(image: Image.Image, box: Box) -> Image.Image:
    """Return the part of the image in the box, of at least one pixel."""
    left = min(round(box.x * image.width), image.width - 1)
    top = min(round(box.y * image.height), image.height - 1)
    right = min(max(round((box.x + box.width) * image.width), left + 1), image.width)
    bottom = min(max(round((box.y + box.height) * image.height), top + 1), image.height)
    return crop_pixels(image, left, top, right - left, bottom - top)


def cut_bottom(image: Image.Image, fraction: float) -> Image.Image:
    """Return the image without this fraction of its height at the bottom, where cameras print their info bar."""
    if not fraction:
        return image
    return crop_pixels(image, 0, 0, image.width, max(1, image.height - round(image.height * fraction)))

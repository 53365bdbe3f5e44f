"""Which part of an image a network sees, so that places in its input become places in the image."""

from __future__ import annotations

from dataclasses import replace

from pipelines.explanation.boxes import Attention
from pipelines.explanation.canvas import MapGrid
from pipelines.images.crop import Box
from pipelines.images.preprocess import Preprocessing


def coverage(preprocessing: Preprocessing) -> float:
    """Return the side of the network's input relative to what crop mode resizes the shorter side to; else 1."""
    return preprocessing.size / preprocessing.resize if preprocessing.resize_mode == "crop" else 1.0


def map_cells(stride: float, first: float, preprocessing: Preprocessing) -> MapGrid:
    """Return where the cells of a map are in the network's input.

    `stride` and `first`: pixels of the input between cells, and the pixel at the centre of the first.
    """
    return MapGrid(stride / preprocessing.size, (first + 0.5) / preprocessing.size)


def view_region(preprocessing: Preprocessing, width: int, height: int, crop: Box | None) -> Box:
    """Return the part of an image of this size that is the network's input for its crop; None: the whole image."""
    if crop is None:
        return input_region(preprocessing, width, height)
    of_crops = replace(preprocessing, crop_bottom=0.0)  # crops have no info bar
    inner = input_region(of_crops, max(1, round(width * crop.width)), max(1, round(height * crop.height)))
    left, top = crop.x + inner.x * crop.width, crop.y + inner.y * crop.height
    return Box(left, top, inner.width * crop.width, inner.height * crop.height)


def mirror(region: Box) -> Box:
    """Return where a region is in the horizontally flipped image."""
    return Box(1 - region.x - region.width, region.y, region.width, region.height)


def input_region(preprocessing: Preprocessing, width: int, height: int) -> Box:
    """Return the part of an upright image of this size that is the network's input, in fractions of the image.

    With pad it reaches beyond the image. Undoes `Preprocessing.apply`, up to its rounding to whole pixels.
    """
    kept = max(1, height - round(height * preprocessing.crop_bottom)) if preprocessing.crop_bottom else height
    if preprocessing.resize_mode == "squash":
        return Box(0.0, 0.0, 1.0, kept / height)
    if preprocessing.resize_mode == "crop":  # a long strip loses its ends first, evenly
        side = coverage(preprocessing) * min(width, kept)
    else:
        side = float(max(width, kept))
    return Box((width - side) / 2 / width, (kept - side) / 2 / height, side / width, side / height)


def to_image(attention: Attention, region: Box) -> Attention:
    """Return a box and a peak in a region of the image as fractions of the image, clipped to it."""
    x, y, width, height = attention.box
    left, right = (_clip(region.x + edge * region.width) for edge in (x, x + width))
    top, bottom = (_clip(region.y + edge * region.height) for edge in (y, y + height))
    peak_x, peak_y = attention.peak
    peak = _clip(region.x + peak_x * region.width), _clip(region.y + peak_y * region.height)
    return Attention(Box(left, top, right - left, bottom - top), peak)


def _clip(value: float) -> float:
    return min(max(value, 0.0), 1.0)

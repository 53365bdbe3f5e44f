"""Add the contribution maps of an image and of its crops on one grid, without a change of their sum."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.images.crop import Box

Floats = NDArray[np.float64]
GRID = 64  # points a side: a box is exact to 1/64 of the canvas


class MapGrid(NamedTuple):
    """Where the cells of a map are along a side, in fractions of that side.

    `step`: from the centre of one cell to that of the next. `start`: the centre of the first.
    """

    step: float
    start: float


class PlacedMap(NamedTuple):
    """A contribution map of shape (h, w), where its cells are in the network's input, and where that is in the image.

    `region`: the part of the image that the input shows, in fractions of the image's sides; padding is outside.
    """

    values: Floats
    cells: MapGrid
    region: Box


def union(regions: Sequence[Box]) -> Box:
    """Return the smallest box around all regions."""
    left, top = min(box.x for box in regions), min(box.y for box in regions)
    right, bottom = max(box.x + box.width for box in regions), max(box.y + box.height for box in regions)
    return Box(left, top, right - left, bottom - top)


def add_maps(maps: Iterable[PlacedMap], canvas: Box, grid: int = GRID) -> Floats:
    """Return the sum of maps on a grid over the part `canvas` of the image, shape (grid, grid).

    A map is enlarged by bilinear interpolation to its region, which must be inside the canvas, and divided by the
    region's share of the canvas. Its mean over the canvas is therefore its own mean: what it adds to the logit. What
    interpolation takes from the mean is spread evenly over the region.
    """
    total = np.zeros((grid, grid))
    for values, cells, region in maps:
        height, width = values.shape
        start = (region.y - canvas.y) / canvas.height, (region.x - canvas.x) / canvas.width
        rows, down = _interpolation(height, grid, cells, start[0], region.height / canvas.height)
        columns, across = _interpolation(width, grid, cells, start[1], region.width / canvas.width)
        enlarged = rows @ values @ columns.T
        share = float(down.mean() * across.mean())
        missing = float(values.mean()) - float(enlarged.mean()) / share
        total += (enlarged + missing * np.outer(down, across)) / share
    return total


@lru_cache(maxsize=256)  # images of one size share them, but for crops
def _interpolation(size: int, grid: int, cells: MapGrid, start: float, length: float) -> tuple[Floats, Floats]:
    """Return the matrix (grid, size) of bilinear interpolation along a side, and how far points are in the region.

    `start`, `length`: the region in fractions of the side of the canvas. Beyond the outer cells their values are
    repeated up to the edge of the region; beyond it they are zero. A point stands for 1/grid of the side, of which the
    fraction inside the region counts.
    """
    edges = np.arange(grid + 1) / grid
    inside = np.clip(np.minimum(edges[1:], start + length) - np.maximum(edges[:-1], start), 0, None) * grid
    centres = ((np.arange(grid) + 0.5) / grid - start) / length
    position = np.clip((centres - cells.start) / cells.step, 0, size - 1)
    lower = np.minimum(position.astype(int), max(size - 2, 0))
    fraction = position - lower
    matrix = np.zeros((grid, size))
    matrix[np.arange(grid), lower] = 1 - fraction
    matrix[np.arange(grid), np.minimum(lower + 1, size - 1)] += fraction
    return matrix * inside[:, np.newaxis], inside

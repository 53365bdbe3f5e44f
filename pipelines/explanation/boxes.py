"""From contribution maps to a box: add and enlarge the maps, apply a threshold, take the largest component."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.images.crop import Box
from pipelines.localisation.components import bounding_box, largest_component

Floats = NDArray[np.float64]
GRID = 64  # points a side of the enlarged map: a box is exact to 1/64 of the network's input
THRESHOLD = 0.4  # of the range of the map; the best mean overlap with the true boxes of the sample set


class MapGrid(NamedTuple):
    """Where the cells of a map are, along both sides, in fractions of the side of the grid that maps are added on.

    `step`: from the centre of one cell to that of the next. `start`: the centre of the first.
    """

    step: float
    start: float


class Attention(NamedTuple):
    """The box of a map's largest component and the maximum (x, y) in it, in fractions of the network's input."""

    box: Box
    peak: tuple[float, float]


def combine(maps: Sequence[Floats], grids: Sequence[MapGrid], grid: int = GRID) -> Floats:
    """Return the sum of maps of any sizes (n, h, w) on one grid, shape (n, grid, grid), by bilinear interpolation."""
    total = np.zeros((len(maps[0]), grid, grid))
    for values, cells in zip(maps, grids, strict=True):
        rows, columns = (_interpolation(size, grid, cells) for size in values.shape[1:])
        total += rows @ values @ columns.T
    return total


def locate(values: Floats, threshold: float = THRESHOLD) -> Attention | None:
    """Return where a map of shape (h, w) is high; None if it is flat.

    The maximum is that of the largest component: networks that pad often have a higher one at the edge of the image.
    """
    low, high = float(values.min()), float(values.max())
    if not high - low > 1e-9 * max(abs(low), abs(high)):  # also if not finite
        return None
    height, width = values.shape
    is_high = values >= low + threshold * (high - low)
    component = largest_component(is_high)
    if component is None:  # a map with values that are not finite
        return None
    inside = np.where(component, values, low)
    rows, columns = np.nonzero(inside >= inside.max() - 1e-6 * (high - low))  # several where the edge was extended
    return Attention(
        bounding_box(component), ((float(columns.mean()) + 0.5) / width, (float(rows.mean()) + 0.5) / height)
    )


@cache
def _interpolation(size: int, grid: int, cells: MapGrid) -> Floats:
    """Return the matrix (grid, size) of bilinear interpolation; beyond the outer cells their values are repeated."""
    position = np.clip(((np.arange(grid) + 0.5) / grid - cells.start) / cells.step, 0, size - 1)
    lower = np.minimum(position.astype(int), max(size - 2, 0))
    fraction = position - lower
    matrix = np.zeros((grid, size))
    matrix[np.arange(grid), lower] = 1 - fraction
    matrix[np.arange(grid), np.minimum(lower + 1, size - 1)] += fraction
    return matrix

"""From contribution maps to a box: add and enlarge the maps, apply a threshold, take the largest component."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
GRID = 64  # points a side of the enlarged map: a box is exact to 1/64 of the network's input
THRESHOLD = 0.4  # of the range of the map; the best mean overlap with the true boxes of the sample set


class Box(NamedTuple):
    """A box in fractions of an image's width and height; x and y are the upper left corner."""

    x: float
    y: float
    width: float
    height: float


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
    component = _largest_component(is_high)
    rows, columns = np.nonzero(component)
    top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    box = Box(*map(float, (left / width, top / height, (right - left) / width, (bottom - top) / height)))
    inside = np.where(component, values, low)
    rows, columns = np.nonzero(inside >= inside.max() - 1e-6 * (high - low))  # several where the edge was extended
    return Attention(box, ((float(columns.mean()) + 0.5) / width, (float(rows.mean()) + 0.5) / height))


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


def _largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask of the largest 4-connected component, the first of equals.

    Runs of each row are joined with those that they touch in the row above (union-find).
    """
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    runs = list(zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True))
    parent = list(range(len(runs)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    above = 0
    for i, (row, start, end) in enumerate(runs):
        while runs[above][0] < row - 1 or (runs[above][0] == row - 1 and runs[above][2] <= start):
            above += 1
        other = above
        while runs[other][0] == row - 1 and runs[other][1] < end:
            a, b = root(other), root(i)
            parent[max(a, b)] = min(a, b)
            other += 1
    components: dict[int, list[int]] = {}
    for i in range(len(runs)):
        components.setdefault(root(i), []).append(i)
    best = max(components.values(), key=lambda members: sum(runs[i][2] - runs[i][1] for i in members))
    component = np.zeros_like(mask)
    for i in best:
        row, start, end = runs[i]
        component[row, start:end] = True
    return component

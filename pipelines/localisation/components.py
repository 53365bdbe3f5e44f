"""Connected components of a mask, without SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.images.crop import Box

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Run = tuple[int, int, int]  # row, first column, column after the last


def largest_component(mask: Mask) -> Mask | None:
    """Return a mask of the component with the most pixels; None if the mask is empty.

    Pixels are connected to their four neighbours. Of equal components, the first from the top.
    """
    runs = _find_runs(mask)
    components: dict[int, list[Run]] = {}
    for run, root in zip(runs, _join_runs(runs), strict=True):
        components.setdefault(root, []).append(run)
    if not components:
        return None
    largest = max(components.values(), key=lambda members: sum(end - start for _, start, end in members))
    component = np.zeros_like(mask, dtype=bool)
    for row, start, end in largest:
        component[row, start:end] = True
    return component


def bounding_box(component: Mask) -> Box:
    """Return the box of the set pixels, of which there are some, in fractions of the mask's sides."""
    rows, columns = np.flatnonzero(component.any(axis=1)), np.flatnonzero(component.any(axis=0))
    (height, width), top, left = component.shape, int(rows[0]), int(columns[0])
    return Box(left / width, top / height, (columns[-1] + 1 - left) / width, (rows[-1] + 1 - top) / height)


def _find_runs(mask: Mask) -> list[Run]:
    """Return the runs of set pixels, row by row."""
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), np.int8)
    padded[:, 1:-1] = mask
    steps = np.diff(padded, axis=1)
    rows, starts = np.nonzero(steps == 1)
    _, ends = np.nonzero(steps == -1)
    return list(zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True))


def _join_runs(runs: list[Run]) -> list[int]:
    """Return for each run the number of its component's first run."""
    parents = list(range(len(runs)))

    def find(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    above = 0  # the first run that may touch the current one
    for i, (row, start, end) in enumerate(runs):
        while runs[above][0] < row - 1 or (runs[above][0] == row - 1 and runs[above][2] <= start):
            above += 1
        j = above
        while runs[j][0] == row - 1 and runs[j][1] < end:
            first, second = sorted((find(i), find(j)))
            parents[second] = first
            j += 1
    return [find(i) for i in range(len(runs))]

"""The largest connected component of a mask."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.localisation.components import bounding_box, largest_component


def pixels_around(values):
    """Return left, top, right, bottom of the largest component."""
    component = largest_component(values)
    if component is None:
        return None
    assert not (component & ~values).any()
    box, (height, width) = bounding_box(component), values.shape
    sides = box.x * width, box.y * height, (box.x + box.width) * width, (box.y + box.height) * height
    return tuple(round(side, 9) for side in sides)


def mask(*lines: str):
    return np.array([[character == "#" for character in line] for line in lines])


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["....", "...."], None),
        (["#..#", "#..#", "...#"], (3, 0, 4, 3)),
        (["#.#", "#.#", "###"], (0, 0, 3, 3)),  # two arms that meet below
        (["##.", "..#", ".##"], (1, 1, 3, 3)),  # a diagonal is no connection
        (["##..", "....", "..##"], (0, 0, 2, 1)),  # the first of equals
        (["#.#.#", "#.#.#", "#####", ".....", "#####"], (0, 0, 5, 3)),
        (["####"], (0, 0, 4, 1)),
    ],
)
def test_the_component_with_the_most_pixels_is_boxed(lines, expected):
    assert pixels_around(mask(*lines)) == expected


def test_a_spiral_is_one_component():
    spiral = mask("#######", "......#", "#####.#", "#...#.#", "#.###.#", "#.....#", "#######")
    assert pixels_around(spiral) == (0, 0, 7, 7)


def test_every_size_agrees_with_a_flood_fill():
    for seed in range(30):
        random = np.random.default_rng(seed).random((12, 15)) < 0.55
        assert pixels_around(random) == by_flood_fill(random)


def by_flood_fill(values):
    best, seen = [], set()
    for start in zip(*np.nonzero(values), strict=True):
        stack, members = [tuple(map(int, start))], []
        while stack:
            row, column = stack.pop()
            inside = 0 <= row < values.shape[0] and 0 <= column < values.shape[1]
            if inside and values[row, column] and (row, column) not in seen:
                seen.add((row, column))
                members.append((row, column))
                stack += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
        best = members if len(members) > len(best) else best
    rows, columns = zip(*best, strict=True)
    return min(columns), min(rows), max(columns) + 1, max(rows) + 1

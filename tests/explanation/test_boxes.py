from __future__ import annotations

import numpy as np
import pytest

from pipelines.explanation.boxes import locate
from pipelines.images.crop import Box


def test_the_box_is_that_of_the_largest_component_above_the_threshold() -> None:
    values = np.zeros((10, 20))
    values[2:5, 3:9] = 0.8
    values[4, 8] = 1.0
    values[7:9, 15:18] = 0.9
    values[0, 0] = 0.4
    found = locate(values, 0.5)
    assert found is not None
    assert found.box == pytest.approx(Box(3 / 20, 2 / 10, 6 / 20, 3 / 10))
    assert found.peak == pytest.approx((8.5 / 20, 4.5 / 10))
    values[9, 0] = 1.2  # higher, but alone, as at the edge of networks that pad
    assert locate(values, 0.5).peak == pytest.approx((8.5 / 20, 4.5 / 10))  # type: ignore[union-attr]
    values[9, 0] = 0
    assert locate(values, 0.85).box == pytest.approx(Box(15 / 20, 7 / 10, 3 / 20, 2 / 10))  # type: ignore[union-attr]


def test_components_join_by_edges_and_not_by_corners() -> None:
    spiral = np.array(
        [
            [1, 1, 1, 1, 1, 0],
            [1, 0, 0, 0, 1, 0],
            [1, 0, 1, 0, 1, 0],
            [1, 0, 1, 1, 1, 0],
            [1, 0, 0, 0, 0, 1],
            [0, 1, 1, 1, 1, 1],
        ],
        float,
    )
    found = locate(spiral)
    assert found is not None and found.box == pytest.approx(Box(0, 0, 5 / 6, 5 / 6))


def test_it_agrees_with_scipy_on_random_masks() -> None:
    from scipy.ndimage import find_objects, label

    rng = np.random.default_rng(0)
    for _ in range(200):
        values = (rng.random((12, 15)) < rng.uniform(0.2, 0.7)).astype(float)
        if values.min() == values.max():
            continue
        numbers, _ = label(values)
        sizes = np.bincount(numbers.ravel())[1:]
        found = locate(values)
        assert found is not None
        x, y, width, height = found.box
        ours = tuple(round(edge) for edge in (y * 12, (y + height) * 12, x * 15, (x + width) * 15))
        boxes = find_objects(numbers)
        best = {(*_ends(boxes[i][0]), *_ends(boxes[i][1])) for i in np.flatnonzero(sizes == sizes.max())}
        assert ours in best


def _ends(part: slice) -> tuple[int, int]:
    return part.start, part.stop


@pytest.mark.parametrize("values", [np.zeros((4, 4)), np.full((4, 4), -7.5), np.full((4, 4), np.nan)])
def test_a_flat_map_has_no_box(values) -> None:
    assert locate(values) is None

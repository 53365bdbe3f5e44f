"""Maps of an image and of its crops on one canvas: hand-made arrays, and the sums that must stay."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.explanation.boxes import locate
from pipelines.explanation.canvas import MapGrid, PlacedMap, add_maps, union
from pipelines.images.crop import Box

WHOLE = Box(0.0, 0.0, 1.0, 1.0)


def even(size: int) -> MapGrid:
    """Return the grid of cells that divide the input evenly."""
    return MapGrid(1 / size, 0.5 / size)


def test_maps_of_different_sizes_are_added_in_the_same_places() -> None:
    coarse, fine = np.zeros((4, 4)), np.zeros((16, 16))
    coarse[1, 2], fine[4:8, 8:12] = 1, 1
    for maps in ([coarse], [fine], [coarse, fine]):
        canvas = add_maps([PlacedMap(values, even(len(values)), WHOLE) for values in maps], WHOLE)
        assert canvas.shape == (64, 64)
        peak = locate(canvas).peak  # type: ignore[union-attr]
        assert peak == pytest.approx((0.625, 0.375), abs=0.02)


def test_a_constant_map_of_a_crop_is_its_contribution_over_its_share_of_the_canvas_and_zero_outside() -> None:
    crop = PlacedMap(np.full((2, 2), 3.0), even(2), Box(0.25, 0.5, 0.5, 0.25))
    canvas = add_maps([crop], WHOLE, grid=8)
    expected = np.zeros((8, 8))
    expected[4:6, 2:6] = 3 / (0.5 * 0.25)
    np.testing.assert_allclose(canvas, expected, atol=1e-12)
    whole = PlacedMap(np.full((2, 2), -1.0), even(2), WHOLE)
    np.testing.assert_allclose(add_maps([whole, crop], WHOLE, grid=8), expected - 1, atol=1e-12)


@pytest.mark.parametrize("grid", [64, 100])
def test_the_mean_of_the_canvas_is_the_sum_of_the_means_of_all_maps(grid) -> None:
    rng = np.random.default_rng(0)
    regions = [WHOLE, Box(0.613, 0.2, 0.22, 0.391), Box(0.0, 0.77, 0.03, 0.23), Box(-0.1, 0.3, 0.5, 1.0)]
    grids = [MapGrid(16 / 224, 15.5 / 224), even(7), MapGrid(32 / 224, 0.5 / 224), even(13)]
    sizes = [(13, 13), (7, 7), (7, 9), (13, 13)]
    maps = [PlacedMap(rng.normal(size=s), g, r) for s, g, r in zip(sizes, grids, regions, strict=True)]
    canvas = union(regions)
    assert canvas == pytest.approx(Box(-0.1, 0.0, 1.1, 1.3))
    total = add_maps(maps, canvas, grid)
    assert total.mean() == pytest.approx(sum(part.values.mean() for part in maps), abs=1e-12)


def test_the_peak_of_a_crop_is_found_where_the_crop_is() -> None:
    values = np.zeros((13, 13))
    values[2, 10] = 1
    canvas = add_maps([PlacedMap(values, even(13), Box(0.5, 0.25, 0.26, 0.52))], WHOLE, 128)
    found = locate(canvas)
    assert found is not None
    assert found.peak == pytest.approx((0.5 + 0.26 * 10.5 / 13, 0.25 + 0.52 * 2.5 / 13), abs=1 / 128)
    assert found.box.width < 0.05 and found.box.height < 0.1


def test_a_region_that_is_the_canvas_keeps_the_interpolated_values_up_to_a_constant() -> None:
    """So that boxes of versions without crops are those of bilinear interpolation alone."""
    values = np.array([[0.0, 1.0], [2.0, 5.0]])
    canvas = add_maps([PlacedMap(values, even(2), WHOLE)], WHOLE, 4)
    weights = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    expected = weights @ values @ weights.T
    np.testing.assert_allclose(canvas - canvas[0, 0], expected - expected[0, 0], atol=1e-12)
    assert canvas.mean() == pytest.approx(2.0)

from __future__ import annotations

import numpy as np
import pytest

from pipelines.demo.layers import depth_code, depth_metres
from pipelines.demo.noise import fractal_noise, smooth_noise, smoothstep, tiling_noise


def test_a_tile_meets_itself_without_a_seam() -> None:
    tile = tiling_noise(np.random.default_rng(1), 256, 8, 3)
    seam = np.abs(tile[0] - tile[-1]).mean()
    inside = np.abs(np.diff(tile, axis=0)).mean()
    assert seam == pytest.approx(inside, rel=0.5)
    assert (tile.mean(), tile.std()) == pytest.approx((0, 1), abs=1e-3)


def test_fields_have_the_requested_size() -> None:
    rng = np.random.default_rng(1)
    assert smooth_noise(rng, 7, 31, 200).shape == (7, 31)
    assert fractal_noise(rng, 2, 640, 3, 6).shape == (2, 640)


def test_smoothstep_is_flat_at_both_ends() -> None:
    values = smoothstep(1.0, 3.0, np.array([0.0, 1.0, 2.0, 3.0, 9.0]))
    assert values == pytest.approx([0, 0, 0.5, 1, 1])


def test_distances_come_back_from_their_codes() -> None:
    metres = np.array([0.5, 2.0, 10.0, 60.0])
    assert depth_metres()[depth_code(metres)] == pytest.approx(metres, rel=0.12)
    assert depth_metres()[255] > 1000

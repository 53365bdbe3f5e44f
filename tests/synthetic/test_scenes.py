"""Synthetic images: known values, repeatability and variety."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.synthetic import scenes as scenes_module
from pipelines.synthetic.shapes import affine_systems, contour, fractals
from pipelines.synthetic.textures import stretch_contrast, textures

KNOWN_MEANS = [[220.04, 192.96, 203.01], [115.43, 120.63, 121.66], [48.43, 32.61, 46.47], [83.47, 82.35, 75.17]]


@pytest.fixture(scope="module")
def scenes() -> scenes_module.Bytes:
    return scenes_module.render(12, size=64, seed=5)


def test_a_seed_gives_known_images(scenes: scenes_module.Bytes) -> None:
    # Means, not a digest: sines may differ in the last bit between processors.
    means = scenes[:4].mean(axis=(1, 2))
    assert means == pytest.approx(np.array(KNOWN_MEANS), abs=1.5)


def test_the_same_seed_gives_the_same_images_and_another_seed_others(scenes: scenes_module.Bytes) -> None:
    assert np.array_equal(scenes_module.render(2, size=64, seed=5), scenes[:2])
    assert not np.array_equal(scenes_module.render(2, size=64, seed=6), scenes[:2])


def test_blocks_rendered_one_by_one_make_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("BLOCK", 2), ("TEXTURES", 4), ("FRACTALS", 4)):
        monkeypatch.setattr(scenes_module, name, value)
    whole = scenes_module.render(5, size=32, seed=1)
    parts = [scenes_module.render_block(block, count, 32, 1) for block, count in [(0, 2), (1, 2), (2, 1)]]
    assert np.array_equal(whole, np.concatenate(parts))


def test_no_images_are_an_empty_array() -> None:
    assert scenes_module.render(0, size=16).shape == (0, 16, 16, 3)


def test_every_image_differs_from_every_other_and_has_structure(scenes: scenes_module.Bytes) -> None:
    assert len({scene.tobytes() for scene in scenes}) == len(scenes)
    assert scenes.std(axis=(1, 2)).max(axis=1).min() > 3


def test_textures_use_the_whole_range_of_grey() -> None:
    fields = textures(np.random.default_rng(0), 10, 64)
    assert fields.shape == (10, 64, 64)
    assert all(f.min() == 0 and f.max() >= 250 for f in fields)


def test_a_flat_field_stretches_to_black_without_a_warning() -> None:
    with np.errstate(all="raise"):
        assert stretch_contrast(np.full((8, 8), 3.0, np.float32)).max() == 0


def test_fractal_maps_contract() -> None:
    maps, weights = affine_systems(np.random.default_rng(0), 50)
    singular = np.linalg.svd(maps[..., :2], compute_uv=False)
    assert singular.min() >= 0.2 - 1e-9 and singular.max() <= 0.9 + 1e-9
    assert weights.sum(axis=1) == pytest.approx(np.ones(50))


def test_the_sierpinski_triangle_has_its_dimension(monkeypatch: pytest.MonkeyPatch) -> None:
    corners = np.array([[-1, -1], [1, -1], [0, 1], [0, 1]])[None, :, :, None]
    halves = np.broadcast_to(np.eye(2) / 2, (1, 4, 2, 2))
    system = (np.concatenate([halves, corners], axis=-1), np.array([[1, 1, 1, 0]]) / 3)
    monkeypatch.setattr("pipelines.synthetic.shapes.affine_systems", lambda rng, count: system)
    mask = fractals(np.random.default_rng(0), 1, 128, points=120_000)[0] > 0
    counts = [mask.reshape(128 // s, s, 128 // s, s).any(axis=(1, 3)).sum() for s in (4, 8, 16)]
    slopes = np.log2(np.array(counts[:-1]) / np.array(counts[1:]))
    assert slopes.mean() == pytest.approx(np.log2(3), abs=0.15)


def test_contours_are_positive_and_closed() -> None:
    angles = np.linspace(0, 2 * np.pi, 257, dtype=np.float32)
    for seed in range(20):
        radii = contour(np.random.default_rng(seed), angles)
        assert radii.min() > 0
        assert radii[0] == pytest.approx(radii[-1], rel=1e-3)

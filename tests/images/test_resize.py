from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.images import resize
from pipelines.images.resize import resize_image

SHAPES = [
    ((341, 256), (224, 224)),
    ((256, 341), (224, 224)),  # Pillow 13 scales it down first, older ones across
    ((800, 600), (224, 224)),
    ((300, 2000), (224, 224)),
    ((224, 300), (224, 224)),
    ((300, 224), (224, 224)),
    ((500, 400), (320, 256)),
    ((1200, 900), (96, 96)),
]
ENLARGED = [((3, 40), (256, 3413)), ((1, 1), (224, 224)), ((128, 128), (224, 224)), ((75, 500), (224, 224))]
PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
ready = pytest.mark.skipif(resize.Resizer is None, reason="no wheel of cykooz.resizer for this kind of machine")


def grain(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width * height).integers(0, 256, (height, width, 3)).astype(np.uint8))


def difference(found: Image.Image, expected: Image.Image) -> np.ndarray[Any, Any]:
    return np.abs(np.asarray(found).astype(int) - np.asarray(expected))


@ready
@pytest.mark.parametrize("shares_memory", [True, False])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("source", "target"), SHAPES)
def test_values_are_pillows_but_for_one_step_in_a_few(
    source: tuple[int, int],
    target: tuple[int, int],
    interpolation: Any,
    shares_memory: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if shares_memory and not resize._SHARES_MEMORY:
        pytest.skip("this Pillow does not share an image's memory")
    monkeypatch.setattr(resize, "_SHARES_MEMORY", shares_memory)
    image = grain(*source)
    off = difference(resize_image(image, *target, interpolation), image.resize(target, PILLOW[interpolation]))
    assert off.shape == (target[1], target[0], 3)
    assert off.max() <= (2 if interpolation == "bicubic" and resize._VERSION < 13 else 1)
    assert (off > 0).mean() < 0.02  # passes in the other order: .05 to .26


@ready
def test_scaling_is_not_pillows_own() -> None:
    image = grain(800, 600)
    assert (
        difference(resize_image(image, 224, 224, "bilinear"), image.resize((224, 224), PILLOW["bilinear"])).max() == 1
    )


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("source", "target"), ENLARGED)
def test_enlarged_images_are_pillows_to_the_last_value(source: Any, target: Any, interpolation: Any) -> None:
    image = grain(*source)
    assert (
        difference(resize_image(image, *target, interpolation), image.resize(target, PILLOW[interpolation])).max() == 0
    )


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_pillow_scales_where_nothing_faster_is_installed(interpolation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resize, "Resizer", None)
    image = grain(301, 455)
    expected = image.resize((224, 224), PILLOW[interpolation])
    assert difference(resize_image(image, 224, 224, interpolation), expected).max() == 0


def test_pillow_scales_large_images_whose_memory_it_does_not_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resize, "_SHARES_MEMORY", False)
    image = grain(1001, 1000)
    expected = image.resize((224, 224), PILLOW["bilinear"])
    assert difference(resize_image(image, 224, 224, "bilinear"), expected).max() == 0


def test_threads_do_not_disturb_one_another() -> None:
    images = [grain(300 + place, 200 + place) for place in range(40)]
    alone = [resize_image(each, 224, 224, "bilinear") for each in images]
    with ThreadPoolExecutor(8) as pool:
        together = pool.map(lambda each: resize_image(each, 224, 224, "bilinear"), images)
        assert all(difference(*pair).max() == 0 for pair in zip(together, alone, strict=True))

"""Places in the network's input against places in the image, by preprocessing an image with a mark."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipelines.explanation.boxes import Attention
from pipelines.explanation.canvas import MapGrid
from pipelines.explanation.geometry import input_region, map_cells, mirror, to_image, view_region
from pipelines.images.crop import Box
from pipelines.images.preprocess import Preprocessing


@pytest.mark.parametrize("crop_bottom", [0.0, 0.1])
@pytest.mark.parametrize("size", [(320, 200), (200, 320), (64, 48), (700, 100)])
@pytest.mark.parametrize("mode", ["squash", "crop", "pad"])
def test_a_mark_in_the_input_is_found_where_it_is_in_the_image(mode, size, crop_bottom) -> None:
    width, height = size
    preprocessing = Preprocessing(size=128, resize=150, resize_mode=mode, crop_bottom=crop_bottom)
    image = np.zeros((height, width, 3), np.uint8)
    x, y = (int(width * 0.48), int(height * 0.3)) if mode == "crop" else (int(width * 0.7), int(height * 0.3))
    tall = max(2, height // 16)
    wide = tall if mode == "crop" else max(2, width // 16)
    image[y - tall : y + tall, x - wide : x + wide] = 255
    pixels = preprocessing.apply(Image.fromarray(image)).astype(float)
    rows, columns = np.nonzero(pixels.min(axis=2) > 200)  # the padding is darker
    seen = ((columns.mean() + 0.5) / 128, (rows.mean() + 0.5) / 128)
    region = input_region(preprocessing, width, height)
    found = to_image(Attention(Box(0, 0, 1, 1), seen), region)
    assert found.peak == pytest.approx((x / width, y / height), abs=0.02)
    assert found.box.width <= 1 and found.box.y + found.box.height <= 1 - crop_bottom * (mode != "pad") + 0.02


def test_the_region_of_squash_is_the_kept_part_and_that_of_crop_its_centre() -> None:
    assert input_region(Preprocessing(crop_bottom=0.25), 400, 200) == Box(0, 0, 1, 0.75)
    region = input_region(Preprocessing(size=200, resize=250, resize_mode="crop"), 400, 200)
    assert region == pytest.approx(Box((400 - 160) / 800, 0.1, 0.4, 0.8))
    assert input_region(Preprocessing(resize_mode="pad"), 400, 200) == pytest.approx(Box(0, -0.5, 1, 2))


def test_a_box_that_reaches_into_the_padding_is_clipped_to_the_image() -> None:
    region = input_region(Preprocessing(resize_mode="pad"), 400, 200)
    found = to_image(Attention(Box(0.25, 0, 0.5, 0.5), (0.5, 0.1)), region)
    assert found == (Box(0.25, 0.0, 0.5, 0.5), (0.5, 0.0))


def test_the_cells_of_a_padded_network_begin_at_the_first_pixel() -> None:
    preprocessing = Preprocessing(size=128)
    assert map_cells(32, 0, preprocessing) == MapGrid(0.25, 0.5 / 128)
    assert map_cells(32, 15.5, preprocessing) == MapGrid(0.25, 0.125)


def test_the_input_of_a_crop_is_the_crop_and_with_pad_or_crop_a_square_around_or_in_it() -> None:
    box = Box(0.5, 0.2, 0.25, 0.3)  # 100 x 60 pixels
    assert view_region(Preprocessing(crop_bottom=0.1), 400, 200, box) == pytest.approx(box)
    assert view_region(Preprocessing(crop_bottom=0.1), 400, 200, None) == Box(0, 0, 1, 0.9)
    padded = view_region(Preprocessing(resize_mode="pad"), 400, 200, box)
    assert padded == pytest.approx(Box(0.5, 0.1, 0.25, 0.5))
    inner = view_region(Preprocessing(size=200, resize=250, resize_mode="crop"), 400, 200, box)
    assert inner == pytest.approx(Box(0.565, 0.23, 0.12, 0.24))


def test_regions_are_mirrored_with_the_image() -> None:
    assert mirror(Box(0.1, 0.2, 0.3, 0.4)) == pytest.approx(Box(0.6, 0.2, 0.3, 0.4))

"""Thumbnails: size, orientation, info bar, infrared light."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import ImageError
from pipelines.localisation.thumbnails import is_infrared, read_thumbnail

from .drawn import encoded, frame, scene


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (100, 30), (2000, 1500)])
def test_all_images_have_thumbnails_of_one_size(size):
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, size[0] // 2 :] = 200
    grey = read_thumbnail(encoded(pixels), max_pixels=10**7).grey
    assert grey.shape == (120, 160) and grey.dtype == np.uint8
    assert grey[:, :70].max() < 10 and grey[:, 90:].min() > 190


def test_the_info_bar_is_not_in_the_thumbnail():
    pixels = np.full((400, 400, 3), 90, np.uint8)
    pixels[380:] = 255
    assert read_thumbnail(encoded(pixels, "PNG"), max_pixels=10**6).grey.max() > 200
    assert read_thumbnail(encoded(pixels, "PNG"), max_pixels=10**6, crop_bottom=0.05).grey.max() == 90


def test_a_rotated_image_is_upright():
    pixels = np.zeros((400, 400, 3), np.uint8)
    pixels[:200] = 250
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    grey = read_thumbnail(encoded(pixels, exif=exif), max_pixels=10**6).grey
    assert grey[:50].max() < 10 and grey[70:].min() > 240


def test_grey_and_tinted_images_are_infrared_and_coloured_ones_are_not():
    night = frame(scene(1, is_infrared=True), 1)
    assert is_infrared(night)
    assert is_infrared(np.clip(night.astype(int) + np.array([20, 0, 12]), 0, 255).astype(np.uint8))
    assert not is_infrared(frame(scene(1), 1))


def test_an_image_that_cannot_be_decoded_is_an_error():
    with pytest.raises(ImageError):
        read_thumbnail(encoded(frame(scene(1), 1))[:500], max_pixels=10**6)

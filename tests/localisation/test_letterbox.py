from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipelines.images.crop import Box
from pipelines.localisation.letterbox import Letterbox, letterbox


def test_the_image_keeps_its_aspect_ratio_on_a_grey_border() -> None:
    pixels, place = letterbox(Image.new("RGB", (200, 100), (250, 0, 0)), 64, 64)
    assert place == Letterbox(0, 16, 64, 32) and pixels.shape == (64, 64, 3)
    assert (pixels[:16] == 114).all() and (pixels[48:] == 114).all()
    assert (pixels[16:48] == (250, 0, 0)).all()
    pixels, place = letterbox(Image.new("RGB", (10, 40), (0, 9, 0)), 80, 40)
    assert place == Letterbox(35, 0, 10, 40) and (pixels[:, 35:45] == (0, 9, 0)).all()


def test_a_strip_keeps_a_pixel() -> None:
    assert letterbox(Image.new("RGB", (1000, 3)), 64, 64)[1] == Letterbox(0, 31, 64, 1)


def test_places_are_fractions_of_the_image_and_clipped_to_it() -> None:
    place = Letterbox(0, 16, 64, 32)
    assert place.to_image(np.array([16.0, 24, 48, 40])) == pytest.approx(Box(0.25, 0.25, 0.5, 0.5))
    assert place.to_image(np.array([-9.0, 0, 32, 32])) == pytest.approx(Box(0, 0, 0.5, 0.5))
    assert place.to_image(np.array([0.0, 0, 64, 16])) is None  # in the border
    assert place.to_image(np.array([32.0, 20, 32, 30])) is None

"""Square crops around boxes."""

from __future__ import annotations

import pytest

from pipelines.images.crop import Box
from pipelines.localisation.squares import MARGIN, MIN_SIDE, extend_to_full, square_around


def pixels(box, width, height):
    return [round(value, 6) for value in (box.x * width, box.y * height, box.width * width, box.height * height)]


def test_a_box_becomes_a_square_of_pixels_with_a_margin():
    square = square_around(Box(0.5, 0.5, 0.2, 0.1), 1000, 500)  # 200 x 50 pixels
    side = 200 * (1 + 2 * MARGIN)
    assert pixels(square, 1000, 500) == [600 - side / 2, 275 - side / 2, side, side]


def test_a_small_box_gets_the_smallest_side_moved_inside_the_image():
    square = square_around(Box(0.99, 0.0, 0.01, 0.01), 1000, 500)
    side = MIN_SIDE * 1000
    assert pixels(square, 1000, 500) == [1000 - side, 0, side, side]


@pytest.mark.parametrize("bottom", [0.0, 0.1])
def test_a_square_that_does_not_fit_is_cut_in_one_direction_and_stays_above_the_info_bar(bottom):
    square = square_around(Box(0.1, 0.2, 0.5, 0.7), 1000, 500, bottom)
    assert pixels(square, 1000, 500) == [0, 0, 750, 500 * (1 - bottom)]


def test_a_box_of_an_image_without_its_bottom_is_a_box_of_the_full_one():
    assert extend_to_full(Box(0.5, 0.5, 0.2, 0.4), 0.25) == pytest.approx(Box(0.5, 0.375, 0.2, 0.3))

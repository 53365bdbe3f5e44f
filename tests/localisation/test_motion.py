"""Motion in the images of a static camera, drawn."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.localisation.motion import FEW_IMAGES, MIN_IMAGES, NO_MOTION, find_motion, measure_motion
from pipelines.localisation.thumbnails import read_thumbnail

from .drawn import HEIGHT, WIDTH, encoded, frame, scene


def find(frames, wanted=None):
    thumbnails = [read_thumbnail(encoded(pixels), max_pixels=10**6) for pixels in frames]
    wanted = wanted or [True] * len(frames)
    return find_motion([each.grey for each in thumbnails], [each.is_infrared for each in thumbnails], wanted)


def assert_around(box, left, top, side):
    """Check that a box covers a square of pixels, with at most 10 pixels of blur around it."""
    found = np.array([box.x * WIDTH, box.y * HEIGHT, (box.x + box.width) * WIDTH, (box.y + box.height) * HEIGHT])
    np.testing.assert_allclose(found, [left, top, left + side, top + side], atol=10)


def test_what_moved_is_boxed_and_frames_without_motion_say_so():
    background = scene(1)
    frames = [frame(background, i) for i in range(9)]
    frames[2], frames[7] = frame(background, 20, animal=(40, 60, 50)), frame(background, 21, animal=(220, 150, 60))
    found = find(frames)
    assert_around(found[2].box, 40, 60, 50)
    assert_around(found[7].box, 220, 150, 60)
    assert found[2].fallback is None
    assert {each[1:] for i, each in enumerate(found) if i not in (2, 7)} == {(NO_MOTION, 9)}
    assert all(each.box is None for i, each in enumerate(found) if i not in (2, 7))


def test_a_brighter_frame_is_not_motion():
    background = scene(2)
    found = find([frame(background, i, brightness=1.3 if i == 4 else 1.0) for i in range(9)])
    assert found[4].fallback == NO_MOTION


def test_the_larger_of_two_moving_things_is_boxed():
    background = scene(3)
    both = frame(background, 30, animal=(30, 40, 30)).astype(int)
    both[120:200, 200:280] += 80
    found = find([*(frame(background, i) for i in range(9)), both.clip(0, 255).astype(np.uint8)])
    assert_around(found[9].box, 200, 120, 80)


def test_daylight_and_infrared_have_backgrounds_of_their_own():
    day, night = scene(4), scene(5, is_infrared=True)
    frames = [frame(day, i) for i in range(9)] + [frame(night, i) for i in range(10, 22)]
    frames[3], frames[15] = frame(day, 40, animal=(100, 100, 60)), frame(night, 41, animal=(20, 30, 60))
    found = find(frames)
    assert_around(found[3].box, 100, 100, 60)
    assert_around(found[15].box, 20, 30, 60)
    assert [each.background_images for each in found] == [9] * 9 + [12] * 12
    assert sum(each.fallback == NO_MOTION for each in found) == 19


@pytest.mark.parametrize("count", [1, MIN_IMAGES - 1])
def test_too_few_images_make_no_background_even_beside_many_in_other_light(count):
    few = [frame(scene(6, is_infrared=True), i, animal=(30 * i, 40, 40)) for i in range(count)]
    found = find([*few, *(frame(scene(7), i) for i in range(10))])
    assert [tuple(each) for each in found[:count]] == [(None, FEW_IMAGES, count)] * count
    assert {each.fallback for each in found[count:]} == {NO_MOTION}


def test_located_images_are_background_only():
    background = scene(8)
    frames = [frame(background, i) for i in range(9)]
    frames[8] = frame(background, 50, animal=(60, 60, 60))
    found = find(frames, wanted=[False] * 8 + [True])
    assert found[:8] == [None] * 8
    assert_around(found[8].box, 60, 60, 60)


def measure(frames, wanted=None):
    thumbnails = [read_thumbnail(encoded(pixels), max_pixels=10**6) for pixels in frames]
    wanted = wanted or [True] * len(frames)
    return measure_motion([each.grey for each in thumbnails], [each.is_infrared for each in thumbnails], wanted)


def test_statistics_are_the_logarithms_of_the_blurred_difference():
    """An image of which 400 of 19,200 pixels differ from all others, by 127 grey values."""
    greys = [np.full((120, 160), 100, np.uint8) for _ in range(MIN_IMAGES + 1)]
    for grey in greys:
        grey[:, 80:] = 150  # mean 125, standard deviation 25
    greys[0][50:70, 20:40] = 227
    found = measure_motion(greys, [False] * len(greys), [True] * len(greys))
    image = greys[0].astype(float)
    normalised = (image - image.mean()) / image.std()
    background = np.where(np.arange(160) < 80, -1.0, 1.0) * np.ones((120, 1))
    difference = np.abs(normalised - background)
    peak = difference[60, 30]  # the blur reaches four pixels, the square ten
    values = np.exp(found[0].values) - 1e-3
    assert values[0] == pytest.approx(peak, rel=1e-4)
    assert 0.8 * peak < values[1] < peak  # two of a hundred pixels are in the square, half of them blurred
    assert values[2] == pytest.approx(difference.mean(), rel=1e-2)
    assert values[3] == pytest.approx(peak / np.median(difference), rel=1e-3)
    assert 0.6 * peak < values[4] < peak
    assert values[5] == pytest.approx(peak / 0.05, rel=1e-3)  # elsewhere nothing ever changes
    # Without any difference, only the constants remain.
    assert (np.exp(found[1].values) - 1e-3) == pytest.approx(np.zeros(6), abs=1e-5)
    assert {each[1:] for each in found} == {(None, MIN_IMAGES + 1)}


def test_an_animal_raises_all_statistics_and_too_few_images_have_none():
    background = scene(9)
    frames = [frame(background, i) for i in range(9)]
    frames[4] = frame(background, 20, animal=(40, 60, 50))
    found = measure([*frames, frame(scene(10, is_infrared=True), 30)], wanted=[True] * 8 + [False, True])
    blank = np.stack([found[i].values for i in (0, 1, 2, 3, 5, 6, 7)])
    assert (found[4].values > blank.max(axis=0) + 0.5).all()
    assert found[8] is None
    assert tuple(found[9]) == (None, FEW_IMAGES, 1)

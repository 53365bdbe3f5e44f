from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from PIL import Image

from pipelines.demo.info_bar import BAR, draw_info_bar, moon_age


def test_the_moon_was_full_on_the_harvest_moon_of_2024() -> None:
    assert moon_age(dt.datetime(2024, 9, 18, 2, 34)) == pytest.approx(0.5, abs=0.02)
    new = moon_age(dt.datetime(2024, 10, 2, 18, 49))
    assert min(new, 1 - new) < 0.02


def test_the_bar_covers_the_lower_border_alone() -> None:
    image = Image.new("RGB", (640, 480), (90, 120, 60))
    draw_info_bar(image, "CAM01", dt.datetime(2024, 9, 18, 6, 5, 4), -3, 0)
    pixels = np.asarray(image)
    assert (pixels[: 480 - BAR] == (90, 120, 60)).all()
    assert set(map(tuple, pixels[480 - BAR, ::50].tolist())) == {(0, 0, 0)}


def test_another_minute_gives_another_bar() -> None:
    bars = []
    for minute in (5, 6):
        image = Image.new("RGB", (640, 480))
        draw_info_bar(image, "CAM01", dt.datetime(2024, 9, 18, 6, minute, 4), -3, 1)
        bars.append(np.asarray(image)[480 - BAR :])
    changed = np.flatnonzero((bars[0] != bars[1]).any(axis=(0, 2)))
    assert 0 < np.ptp(changed) < 12  # one digit, five dots of two pixels wide


def test_the_camera_s_name_ends_at_the_right_border() -> None:
    image = Image.new("RGB", (640, 480))
    draw_info_bar(image, "CAM07", dt.datetime(2024, 9, 18), 21, 0)
    assert np.flatnonzero(np.asarray(image)[-BAR:].any(axis=(0, 2))).max() in range(625, 635)

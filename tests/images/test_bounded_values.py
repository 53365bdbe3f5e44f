"""Which times and sizes of a header are written to a table."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from pipelines.images.bounded_values import bound_header_values
from pipelines.images.header import Header
from pipelines.images.plausible_time import is_plausible

NOW = datetime(2026, 6, 1, 12)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(1, 1, 1), False),
        (datetime(1582, 10, 10), False),
        (datetime(1899, 12, 30), False),
        (datetime(1970, 1, 1, 23, 59, 59), False),
        (datetime(1970, 1, 2), True),
        (datetime(1980, 1, 1, 7, 3), False),  # a clock that was never set
        (datetime(2000, 1, 1, 0, 13), False),
        (datetime(2000, 1, 2), True),
        (datetime(2012, 1, 1), False),  # a clock that is reset by a change of batteries
        (datetime(2012, 1, 1, 0, 0, 0, 400), False),
        (datetime(2012, 1, 1, 0, 0, 1), True),
        (NOW + timedelta(days=1), True),
        (NOW + timedelta(days=1, seconds=1), False),
        (datetime(9999, 12, 31, 23, 59, 59), False),
    ],
)
def test_times_at_which_no_image_was_taken_are_implausible(moment, expected) -> None:
    assert is_plausible(moment, NOW) is expected


def test_what_no_image_has_is_unknown() -> None:
    odd = Header(2**31, 0, datetime(1899, 12, 30), "9" * 65, "TIFF")
    assert bound_header_values(odd, NOW) == {
        "exif_time": None,
        "odd_time": "1899-12-30 00:00:00",
        "exif_camera": None,
        "width": None,
        "height": None,
    }
    sound = Header(2**31 - 1, 1, NOW, "9" * 64, "JPEG")
    assert bound_header_values(sound, NOW) == {
        "exif_time": NOW,
        "odd_time": None,
        "exif_camera": "9" * 64,
        "width": 2**31 - 1,
        "height": 1,
    }

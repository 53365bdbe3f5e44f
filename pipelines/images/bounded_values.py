"""Bound what a header says before it reaches a table: a value that no image has is an unknown value."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pipelines.images.header import Header, read_header
from pipelines.images.plausible_time import is_plausible

MAX_SIDE = 2**31 - 1  # of one side, in a table's int
MAX_LETTERS = 64  # of a serial number


def read_bounded_header(content: bytes, max_pixels: int, max_bytes: int) -> dict[str, Any]:
    """Return what the header of an image says, as `bounded` does. Raises ImageError as `read_header` does."""
    return bound_header_values(read_header(content, max_pixels=max_pixels, max_bytes=max_bytes))


def bound_header_values(header: Header, now: datetime | None = None) -> dict[str, Any]:
    """Return exif_time, exif_camera, width, height for a row of a table, and odd_time.

    `odd_time` is the text of a time that no image was taken at (see `plausible_time`); exif_time is null then.
    """
    moment = header.captured_at
    is_odd = moment is not None and not is_plausible(moment, now)
    return {
        "exif_time": None if is_odd else moment,
        "odd_time": moment.isoformat(" ") if is_odd and moment else None,
        "exif_camera": header.camera if header.camera and len(header.camera) <= MAX_LETTERS else None,
        "width": _side(header.width),
        "height": _side(header.height),
    }


def _side(pixels: int) -> int | None:
    return pixels if 0 < pixels <= MAX_SIDE else None

"""Validate header values before they reach a table: an impossible value becomes null."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pipelines.images.header import Header, read_header
from pipelines.images.plausible_time import is_plausible

MAX_SIDE = 2**31 - 1  # pixels; the limit of an int column
MAX_SERIAL_LENGTH = 64  # characters


def read_bounded_header(content: bytes, max_pixels: int, max_bytes: int) -> dict[str, Any]:
    """Read the header of an image as `bound_header_values` returns it. Raises ImageError as `read_header` does."""
    return bound_header_values(read_header(content, max_pixels=max_pixels, max_bytes=max_bytes))


def bound_header_values(header: Header, now: datetime | None = None) -> dict[str, Any]:
    """Return exif_time, exif_camera, width, height for a row of a table, and odd_time.

    `odd_time` is the text of an implausible time (see `plausible_time`), for which exif_time is null.
    """
    moment = header.captured_at
    is_odd = moment is not None and not is_plausible(moment, now)
    return {
        "exif_time": None if is_odd else moment,
        "odd_time": moment.isoformat(" ") if is_odd and moment else None,
        "exif_camera": header.camera if header.camera and len(header.camera) <= MAX_SERIAL_LENGTH else None,
        "width": _bound_side(header.width),
        "height": _bound_side(header.height),
    }


def _bound_side(pixels: int) -> int | None:
    return pixels if 0 < pixels <= MAX_SIDE else None

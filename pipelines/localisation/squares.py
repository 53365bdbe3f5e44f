"""Square crops around boxes."""

from __future__ import annotations

from pipelines.images.crop import Box

MIN_SIDE = 0.22  # of the image's longer side
MARGIN = 0.25  # of the longer side of the box, on each side: a box holds the part of an animal that differs most


def square_around(box: Box, width: int, height: int, crop_bottom: float = 0.0) -> Box:
    """Return the square of pixels around a box with a margin, moved and cut to fit into an image of width x height.

    `crop_bottom`: fraction of the height at the bottom to stay out of. If the square does not fit, it is cut in that
    direction only: nothing of the box is lost.
    """
    usable = 1 - crop_bottom
    side = max(max(box.width * width, box.height * height) * (1 + 2 * MARGIN), MIN_SIDE * max(width, height))
    across, down = min(1.0, side / width), min(usable, side / height)
    left = min(max(0.0, box.x + box.width / 2 - across / 2), 1.0 - across)
    top = min(max(0.0, box.y + box.height / 2 - down / 2), usable - down)
    return Box(left, top, across, down)


def extend_to_full(box: Box, crop_bottom: float) -> Box:
    """Return the box of an image whose bottom was cut off in fractions of the full image."""
    return Box(box.x, box.y * (1 - crop_bottom), box.width, box.height * (1 - crop_bottom))

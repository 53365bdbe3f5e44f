"""Find what moved: the difference of each image of a static camera to the median of its images.

Illumination is normalised per image. Images in daylight and in infrared light have backgrounds of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pipelines.images.crop import Box
from pipelines.localisation.components import bounding_box, largest_component
from pipelines.localisation.thumbnails import Grey

MIN_IMAGES = 8  # of a background: with three bursts of three, an animal in one of them is a minority of every pixel
FEW_IMAGES, NO_MOTION = "few_images", "no_motion"  # fallbacks

_MIN_CONTRAST = 8.0  # standard deviation, of 255, that an image is normalised by at least: a dark one is mostly noise
_MIN_PEAK = 0.3  # difference, in standard deviations of the image, below which it is noise
_RELATIVE_LEVEL = 0.35  # of the largest squared difference, above which pixels belong to what moved
_BLUR = 2  # pixels on either side, twice

Values = np.ndarray[Any, np.dtype[np.float32]]


class Motion(NamedTuple):
    """The box of what moved, in fractions of the thumbnail, or the reason why there is none."""

    box: Box | None
    fallback: str | None
    background_images: int


def find_motion(greys: Sequence[Grey], infrared: Sequence[bool], wanted: Sequence[bool]) -> list[Motion | None]:
    """Return the motion in each wanted thumbnail of one camera, None for the others, which are background only."""
    found: list[Motion | None] = [None] * len(greys)
    for light in (False, True):
        members = [i for i, value in enumerate(infrared) if value == light]
        if not any(wanted[i] for i in members):
            continue
        if len(members) < MIN_IMAGES:
            motion = Motion(None, FEW_IMAGES, len(members))
            found = [motion if i in members and wanted[i] else found[i] for i in range(len(greys))]
            continue
        images = _normalize(np.stack([greys[i] for i in members]))
        background = np.median(images, axis=0)
        for i, image in zip(members, images, strict=True):
            if wanted[i]:
                box = _find_box(image, background)
                found[i] = Motion(box, None if box else NO_MOTION, len(members))
    return found


def _normalize(greys: Grey) -> Values:
    """Return images of shape (n, height, width) with mean 0 and standard deviation 1, if they have enough contrast."""
    values = greys.astype(np.float32)
    values -= values.mean(axis=(1, 2), keepdims=True)
    values /= np.maximum(values.std(axis=(1, 2), keepdims=True), _MIN_CONTRAST)
    return values


def _find_box(image: Values, background: Values) -> Box | None:
    difference = _blur(np.abs(image - background))
    if difference.max() < _MIN_PEAK:
        return None
    squared = difference**2
    component = largest_component(squared > _RELATIVE_LEVEL * squared.max())
    return None if component is None else bounding_box(component)


def _blur(values: Values) -> Values:
    """Return the mean over a square around each pixel, taken twice; borders are repeated."""
    size = 2 * _BLUR + 1
    for axis in (0, 1, 0, 1):
        padding = [(0, 0), (0, 0)]
        padding[axis] = (_BLUR, _BLUR)
        padded = np.pad(values, padding, mode="edge")
        length = values.shape[axis]
        values = sum(np.take(padded, range(i, i + length), axis=axis) for i in range(size)) / np.float32(size)
    return values

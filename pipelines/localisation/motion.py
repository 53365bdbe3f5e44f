"""Find what moved: the difference of each image of a static camera to the median of its images.

Illumination is normalised per image. Images in daylight and in infrared light have backgrounds of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
_MIN_DEVIATION = 0.05  # of a pixel over time, in standard deviations of the image
_EPSILON = 1e-3  # added before the logarithm

Values = np.ndarray[Any, np.dtype[np.float32]]


class Motion(NamedTuple):
    """The box of what moved, in fractions of the thumbnail, or the reason why there is none."""

    box: Box | None
    fallback: str | None
    background_images: int


class MotionStatistics(NamedTuple):
    """Six numbers about an image's difference from its background (`_measure`), or the reason why there are none."""

    values: Values | None
    fallback: str | None
    background_images: int


class _Light(NamedTuple):
    """The images of one camera in one light: their indices, normalised pixels (None: too few) and background."""

    members: list[int]
    images: Values | None
    background: Values | None


def find_motion(greys: Sequence[Grey], infrared: Sequence[bool], wanted: Sequence[bool]) -> list[Motion | None]:
    """Return the motion in each wanted thumbnail of one camera, None for the others, which are background only."""
    found: list[Motion | None] = [None] * len(greys)
    for members, images, background in _split_by_light(greys, infrared, wanted):
        for row, i in enumerate(members):
            if not wanted[i]:
                continue
            if images is None or background is None:
                found[i] = Motion(None, FEW_IMAGES, len(members))
            else:
                box = _find_box(images[row], background)
                found[i] = Motion(box, None if box else NO_MOTION, len(members))
    return found


def measure_motion(
    greys: Sequence[Grey], infrared: Sequence[bool], wanted: Sequence[bool]
) -> list[MotionStatistics | None]:
    """Return the statistics of each wanted thumbnail of one camera, None for the others, as `find_motion` does."""
    found: list[MotionStatistics | None] = [None] * len(greys)
    for members, images, background in _split_by_light(greys, infrared, wanted):
        deviation = None
        if images is not None and background is not None:
            deviation = np.median(np.abs(images - background), axis=0) + np.float32(_MIN_DEVIATION)
        for row, i in enumerate(members):
            if not wanted[i]:
                continue
            if images is None or background is None:
                found[i] = MotionStatistics(None, FEW_IMAGES, len(members))
            else:
                found[i] = MotionStatistics(_measure(images[row], background, deviation), None, len(members))
    return found


def _split_by_light(greys: Sequence[Grey], infrared: Sequence[bool], wanted: Sequence[bool]) -> Iterator[_Light]:
    """Yield the images by daylight and by infrared light, if any of them is wanted."""
    for light in (False, True):
        members = [i for i, value in enumerate(infrared) if value == light]
        if not any(wanted[i] for i in members):
            continue
        if len(members) < MIN_IMAGES:
            yield _Light(members, None, None)
        else:
            images = _normalize(np.stack([greys[i] for i in members]))
            yield _Light(members, images, np.median(images, axis=0))


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
    component = _find_component(difference)
    return None if component is None else bounding_box(component)


def _find_component(difference: Values) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
    squared = difference**2
    return largest_component(squared > _RELATIVE_LEVEL * squared.max())


def _measure(image: Values, background: Values, deviation: Any) -> Values:
    """Return the logarithms of six statistics of the blurred difference of an image from its background.

    Maximum, 99th percentile, mean, maximum over median, mean within the largest component, and maximum in units of the
    pixel's median deviation over time.
    """
    raw = np.abs(image - background)
    difference = _blur(raw)
    component = _find_component(difference)
    values = (
        difference.max(),
        np.percentile(difference, 99),
        difference.mean(),
        difference.max() / max(float(np.median(difference)), 1e-3),
        0.0 if component is None else difference[component].mean(),
        _blur(raw / deviation).max(),
    )
    return np.asarray(np.log(np.array(values) + _EPSILON), np.float32)


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

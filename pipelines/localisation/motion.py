"""Find what moved: the difference of each image of a static camera to the median of its images.

Illumination is normalised per image. Images in daylight and in infrared light have backgrounds of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

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
Found = TypeVar("Found")


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


def find_motion(greys: Sequence[Grey], infrared: Sequence[bool], wanted: Sequence[bool]) -> list[Motion | None]:
    """Return the motion in each wanted thumbnail of one camera, None for the others, which are background only."""

    def find(images: Values, background: Values, rows: Sequence[int]) -> Iterator[Motion]:
        for row in rows:
            box = _find_box(images[row], background)
            yield Motion(box, None if box else NO_MOTION, len(images))

    return _compare(greys, infrared, wanted, find, Motion)


def measure_motion(
    greys: Sequence[Grey], infrared: Sequence[bool], wanted: Sequence[bool]
) -> list[MotionStatistics | None]:
    """Return the statistics of each wanted thumbnail of one camera, None for the others, as `find_motion` does."""

    def measure(images: Values, background: Values, rows: Sequence[int]) -> Iterator[MotionStatistics]:
        deviation = np.median(np.abs(images - background), axis=0) + np.float32(_MIN_DEVIATION)
        for row in rows:
            yield MotionStatistics(_measure(images[row], background, deviation), None, len(images))

    return _compare(greys, infrared, wanted, measure, MotionStatistics)


def _compare(
    greys: Sequence[Grey],
    infrared: Sequence[bool],
    wanted: Sequence[bool],
    compare: Callable[[Values, Values, Sequence[int]], Iterable[Found]],
    empty: Callable[[None, str, int], Found],
) -> list[Found | None]:
    """Compare the wanted images of one camera with the background of their light.

    `compare` takes the normalised images of one light, their background and the rows that are wanted; `empty` makes the
    result where there are too few images, from None, the fallback and their number.
    """
    found: list[Found | None] = [None] * len(greys)
    for light in (False, True):
        members = [i for i, value in enumerate(infrared) if value == light]
        rows = [row for row, i in enumerate(members) if wanted[i]]
        if not rows:
            continue
        if len(members) < MIN_IMAGES:
            results: Iterable[Found] = [empty(None, FEW_IMAGES, len(members))] * len(rows)
        else:
            images = _normalize(np.stack([greys[i] for i in members]))
            results = compare(images, np.median(images, axis=0), rows)
        for row, result in zip(rows, results, strict=True):
            found[members[row]] = result
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
    component = _find_component(difference)
    return None if component is None else bounding_box(component)


def _find_component(difference: Values) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
    squared = difference**2
    return largest_component(squared > _RELATIVE_LEVEL * squared.max())


def _measure(image: Values, background: Values, deviation: Values) -> Values:
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

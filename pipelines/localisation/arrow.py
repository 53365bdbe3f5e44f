"""Arrow batches in, Arrow batches out: the code of the localisation that runs on executors.

Every worker process imports what this module imports: no Spark, no pandas, no settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.errors import ImageError
from pipelines.images.crop import Box
from pipelines.localisation.motion import Motion, MotionStatistics, find_motion, measure_motion
from pipelines.localisation.squares import extend_to_full, square_around
from pipelines.localisation.thumbnails import HEIGHT, WIDTH, Grey, Thumbnail, read_thumbnail

UNREADABLE = "unreadable"  # fallback of images that cannot be decoded
THUMBNAILS_DDL = (
    "camera_key string, window int, content_hash string, is_new boolean, width int, height int, "
    "grey binary, is_infrared boolean"
)
REGIONS_DDL = (
    "content_hash string, x double, y double, width double, height double, fallback string, background_images int, "
    "statistics array<float>"
)
_THUMBNAILS = pa.schema(
    [
        ("camera_key", pa.string()),
        ("window", pa.int32()),
        ("content_hash", pa.string()),
        ("is_new", pa.bool_()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("grey", pa.binary()),
        ("is_infrared", pa.bool_()),
    ]
)
_REGIONS = pa.schema(
    [
        ("content_hash", pa.string()),
        *((name, pa.float64()) for name in Box._fields),
        ("fallback", pa.string()),
        ("background_images", pa.int32()),
        ("statistics", pa.list_(pa.float32())),
    ]
)
_PASSED_ON = _THUMBNAILS.names[:-2]

ReadFn = Callable[["bytes | None"], "Thumbnail | None"]


@dataclass(frozen=True)
class ThumbnailReader:
    """A picklable function from an image to its thumbnail; None if it cannot be decoded."""

    max_pixels: int
    crop_bottom: float

    def __call__(self, content: bytes | None) -> Thumbnail | None:
        try:
            return read_thumbnail(content or b"", max_pixels=self.max_pixels, crop_bottom=self.crop_bottom)
        except ImageError:
            return None


def thumbnail_batches(
    batches: Iterable[pa.RecordBatch], read: ReadFn, count: Callable[[int], None] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield rows of THUMBNAILS_DDL for rows with the same columns, but `content` instead of the last two.

    `read` may raise ImageError too. Calls `count(done)` after each batch.
    """
    for batch in batches:
        if not batch.num_rows:
            continue
        thumbnails = [_read(read, content.as_py()) for content in batch.column("content")]
        greys = pa.array([None if each is None else each.grey.tobytes() for each in thumbnails], pa.binary())
        infrared = pa.array([None if each is None else each.is_infrared for each in thumbnails], pa.bool_())
        columns = [batch.column(name) for name in _PASSED_ON]
        yield pa.RecordBatch.from_arrays([*columns, greys, infrared], schema=_THUMBNAILS)
        if count:
            count(batch.num_rows)


def _read(read: ReadFn, content: bytes | None) -> Thumbnail | None:
    try:
        return read(content)
    except ImageError:  # of the time limit
        return None


def motion_batches(
    batches: Iterable[pa.RecordBatch], crop_bottom: float, *, statistics: bool = False
) -> Iterator[pa.RecordBatch]:
    """Yield rows of REGIONS_DDL for the new images in rows of THUMBNAILS_DDL: crops, or `statistics` of the motion.

    The rows must be sorted by camera_key and window. One window is held in memory at a time.
    """
    rows = (row for batch in batches for row in batch.to_pylist())
    for _, window in groupby(rows, key=itemgetter("camera_key", "window")):
        if regions := _locate_window(list(window), crop_bottom, statistics):
            yield pa.RecordBatch.from_pylist(regions, schema=_REGIONS)


def _locate_window(rows: list[dict[str, Any]], crop_bottom: float, statistics: bool) -> list[dict[str, Any]]:
    readable = [row for row in rows if row["grey"] is not None]
    regions = [
        _region(row["content_hash"], None, UNREADABLE, None) for row in rows if row["is_new"] and row["grey"] is None
    ]
    find: Callable[..., Iterable[Motion | MotionStatistics | None]] = measure_motion if statistics else find_motion
    found = find(
        [_to_grey(row["grey"]) for row in readable],
        [row["is_infrared"] for row in readable],
        [row["is_new"] for row in readable],
    )
    for row, motion in zip(readable, found, strict=True):
        if motion is None:
            continue
        region = _region(row["content_hash"], None, motion.fallback, motion.background_images)
        if isinstance(motion, MotionStatistics):
            region["statistics"] = motion.values
        elif motion.box:
            full = extend_to_full(motion.box, crop_bottom)
            region |= square_around(full, row["width"], row["height"], crop_bottom)._asdict()
        regions.append(region)
    return regions


def square_batches(batches: Iterable[pa.RecordBatch], crop_bottom: float) -> Iterator[pa.RecordBatch]:
    """Yield rows of REGIONS_DDL for rows of content_hash, box (struct of x, y, width, height), width, height.

    The box becomes the square around it.
    """
    for batch in batches:
        regions = []
        for row in batch.to_pylist():
            square = square_around(Box(**row["box"]), row["width"], row["height"], crop_bottom)
            regions.append(_region(row["content_hash"], square, None, None))
        yield pa.RecordBatch.from_pylist(regions, schema=_REGIONS)


def _region(content_hash: str, box: Box | None, fallback: str | None, images: int | None) -> dict[str, Any]:
    sides = box._asdict() if box else dict.fromkeys(Box._fields)
    values = {"fallback": fallback, "background_images": images, "statistics": None}
    return {"content_hash": content_hash, **sides, **values}


def _to_grey(content: bytes) -> Grey:
    return np.frombuffer(content, np.uint8).reshape(HEIGHT, WIDTH)

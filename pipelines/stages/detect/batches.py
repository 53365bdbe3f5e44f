"""Detect on the executors: Arrow batches of images in, Arrow batches of boxes out.

Workers import no Spark, no pandas and no settings for this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipelines.errors import ImageError
from pipelines.images.crop import Box
from pipelines.images.decode import decode
from pipelines.localisation.detector_outputs import Detection
from pipelines.localisation.letterbox import Letterbox, Pixels, letterbox

DETECTIONS_DDL = (
    "content_hash string, path string, number int, category string, score double, "
    "x double, y double, width double, height double, failure string, failure_detail string"
)
DETECTIONS_ARROW_SCHEMA = pa.schema(
    [("content_hash", pa.string()), ("path", pa.string()), ("number", pa.int32()), ("category", pa.string())]
    + [(name, pa.float64()) for name in ("score", *Box._fields)]
    + [("failure", pa.string()), ("failure_detail", pa.string())]
)
NOTHING = -1  # number of a row without a box

ReadFn = Callable[["bytes | None"], "tuple[Pixels, Letterbox]"]
FindFn = Callable[[Pixels, Letterbox], "list[Detection]"]


@dataclass(frozen=True)
class LetterboxReader:
    """A picklable function from an image to the detector's input; raises ImageError."""

    width: int
    height: int
    max_pixels: int

    def __call__(self, content: bytes | None) -> tuple[Pixels, Letterbox]:
        side = max(self.width, self.height)
        return letterbox(decode(content or b"", max_pixels=self.max_pixels, min_side=side), self.width, self.height)


def detect_batches(
    batches: Iterable[pa.RecordBatch],
    read: ReadFn,
    find: FindFn,
    categories: Sequence[str],
    count: Callable[[int], None] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield rows of DETECTIONS_ARROW_SCHEMA for rows of content_hash, path, content.

    An image without a box, or with a failure, has one row, whose number is -1. Calls `count(done)` after each batch.
    """
    for batch in batches:
        rows = [row for item in zip(*batch.columns, strict=True) for row in _rows(item, read, find, categories)]
        if count:
            count(batch.num_rows)
        yield pa.RecordBatch.from_pylist(rows, schema=DETECTIONS_ARROW_SCHEMA)


def _rows(item: Sequence[Any], read: ReadFn, find: FindFn, categories: Sequence[str]) -> list[dict[str, Any]]:
    content_hash, path, content = (value.as_py() for value in item)
    key = {"content_hash": content_hash, "path": path}
    try:
        found = find(*read(content))
    except ImageError as error:
        return [key | {"number": NOTHING, "failure": error.failure, "failure_detail": error.detail}]
    if not found:
        return [key | {"number": NOTHING}]
    return [
        key | {"number": i, "category": categories[each.category], "score": each.score} | each.box._asdict()
        for i, each in enumerate(found)
    ]

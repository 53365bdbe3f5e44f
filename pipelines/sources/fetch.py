"""Fetch listed images on the executors: listed files in, rows of the table images out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pyarrow as pa

from pipelines.errors import ImageError
from pipelines.images.signatures import detect_supported_format
from pipelines.prefetch import prefetch_map
from pipelines.schemas import Failure
from pipelines.sources.registry import Source

BATCH_BYTES = 8 * 2**20  # of an Arrow batch; the JVM stores it while the next one is fetched
MAX_ERROR_LENGTH = 300  # characters of an unexpected error
MAX_PREFETCH_BYTES = 128 * 2**20  # of images that a task fetches ahead

TIME = pa.timestamp("us", tz="UTC")
FETCH_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("content_hash", pa.string()),
        ("content", pa.binary()),
        ("exif_time", TIME),
        ("exif_camera", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("failure", pa.string()),
        ("failure_detail", pa.string()),
        ("odd_time", pa.string()),
    ]
)
FETCH_DDL = (
    "path string, content_hash string, content binary, exif_time timestamp, exif_camera string, "
    "width int, height int, failure string, failure_detail string, odd_time string"
)

Batches = Iterator[pa.RecordBatch]
Row = dict[str, Any]
ReadMetadata = Callable[[bytes], Row]


def make_fetch_fn(
    source: Source,
    read_metadata: ReadMetadata,
    *,
    max_bytes: int,
    threads: int = 1,
    count_rows: Callable[[int], Any] | None = None,
    isolate: Callable[[ReadMetadata], AbstractContextManager[ReadMetadata]] = nullcontext,
) -> Callable[[Batches], Batches]:
    """Return a function for mapInArrow: each row of path, size, etag becomes one row of FETCH_SCHEMA, in any order.

    `read_metadata` returns exif_time, odd_time, exif_camera, width and height of the bytes, or raises ImageError. An
    image that cannot be used keeps its row. `count_rows` receives the number of rows of every batch. `isolate` wraps
    `read_metadata` for one task.
    """

    def fetch(batches: Batches) -> Batches:
        files = (file for batch in batches for file in batch.to_pylist())
        rows: list[Row] = []
        pending_bytes = 0
        with (
            isolate(read_metadata) as read,
            prefetch_map(
                lambda file: fetch_one(source, read, max_bytes, **file),
                files,
                threads,
                threads * 2,
                in_order=False,
                size=lambda file: float(file["size"]),
                max_size=MAX_PREFETCH_BYTES,
            ) as fetched,
        ):
            for row in fetched:
                rows.append(row)
                pending_bytes += len(row["content"] or b"")
                if pending_bytes >= BATCH_BYTES:
                    yield to_batch(rows)
                    rows, pending_bytes = [], 0
        if rows:
            yield to_batch(rows)

    def to_batch(rows: list[Row]) -> pa.RecordBatch:
        if count_rows:
            count_rows(len(rows))
        return pa.RecordBatch.from_pylist(rows, schema=FETCH_SCHEMA)

    return fetch


def _describe_image(read_metadata: ReadMetadata, content: bytes) -> Row:
    """Return the metadata of an image; an unexpected error fails this image, not the whole task."""
    try:
        return read_metadata(content)
    except ImageError:
        raise
    except Exception as error:
        message = f"{type(error).__name__}: {error}"[:MAX_ERROR_LENGTH]
        raise ImageError(Failure.UNREADABLE, f"the header could not be read ({message})") from error


def fetch_one(source: Source, read_metadata: ReadMetadata, max_bytes: int, path: str, etag: str, size: int) -> Row:
    """Return one row of FETCH_SCHEMA. Files over `max_bytes` are not fetched: they have no hash and no content.

    A file without the signature of an image has a hash and a failure, but no content.
    """
    row: Row = dict.fromkeys(FETCH_SCHEMA.names)
    row["path"] = path
    try:
        if size > max_bytes:
            raise ImageError(Failure.TOO_LARGE, f"{size:,} bytes; the limit is {max_bytes:,}")
        content = source.fetch(path, etag)
        row |= {"content": content, "content_hash": hashlib.sha256(content).hexdigest()}
        row |= _describe_image(read_metadata, content)
    except ImageError as error:
        row |= {"failure": error.failure, "failure_detail": error.detail}
        if not detect_supported_format(
            row["content"] or b""
        ):  # do not store other data, such as a private key named x.jpg
            row["content"] = None
        row |= dict(zip(("width", "height"), error.size or (None, None), strict=True))
    return row

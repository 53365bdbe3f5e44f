"""From Arrow batches of images to Arrow batches of features: what an executor runs.

A worker imports what this module imports, in every process: no Spark, no pandas, no settings.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

import numpy as np
import pyarrow as pa

from pipelines.backbones import Embedding
from pipelines.backbones.backbone import Features, Network, Pixels

FEATURES_ARROW_SCHEMA = pa.schema(
    [
        ("content_hash", pa.string()),
        ("features", pa.list_(pa.field("element", pa.float32()))),
        ("failure", pa.string()),
        ("failure_detail", pa.string()),
    ]
)
FEATURES_DDL = "content_hash string, features array<float>, failure string, failure_detail string"
EmbedFn = Callable[[Iterable[bytes | None]], Iterator[Embedding]]


@cache
def freeze_gc() -> None:
    """Set aside what this worker has loaded, once: it stays, and Spark's daemon collects garbage after every task.

    Each time it would walk through all objects of NumPy, Arrow and the engine: 50 to 70 ms, in which the worker is not
    there for the next task.
    """
    gc.freeze()


def with_flip(network: Network, flipped: Sequence[bool]) -> Network:
    """Give a network that looks at each image once for every word: as it is, or flipped left to right.

    Features of several looks stand one behind the other.
    """
    if not any(flipped):
        return network

    def run(pixels: Pixels) -> Features:
        looks = (np.ascontiguousarray(pixels[:, :, ::-1]) if each else pixels for each in flipped)
        return np.concatenate([network(each) for each in looks], axis=1)

    return run


def embed_batches(
    batches: Iterable[pa.RecordBatch], embed: EmbedFn, count: Callable[[int, int], None] | None = None
) -> Iterator[pa.RecordBatch]:
    """Give content_hash, features, failure, failure_detail for batches of content_hash, content, batch by batch.

    `count(done, failed)` is told of each.
    """
    # The network's batches cross the borders of Arrow's, which are cut by bytes.
    hashes: deque[pa.Array] = deque()
    found: list[Embedding] = []
    for embedding in embed(_contents(batches, hashes)):
        found.append(embedding)
        if len(found) == len(hashes[0]):
            if count:
                count(len(found), sum(each.failure is not None for each in found))
            yield _record_batch(hashes.popleft(), found)
            found = []


def _contents(batches: Iterable[pa.RecordBatch], hashes: deque[pa.Array]) -> Iterator[bytes | None]:
    """Give the images of all batches, and put the hashes of each batch aside."""
    for batch in batches:
        if batch.num_rows:
            hashes.append(batch.column(0))
        for content in batch.column(1):
            yield content.as_py()


def _record_batch(hashes: pa.Array, found: list[Embedding]) -> pa.RecordBatch:
    """Lay all features into one float32 buffer: Python lists of floats would cost more than the network."""
    lengths = [0 if each.features is None else len(each.features) for each in found]
    offsets = pa.array(
        [
            None if each.features is None else int(end - n)
            for each, n, end in zip(found, lengths, np.cumsum(lengths), strict=True)
        ]
        + [int(sum(lengths))],
        pa.int32(),
    )
    values = [each.features for each in found if each.features is not None]
    floats = pa.array(np.concatenate(values) if values else np.empty(0, np.float32))
    failures = pa.array([each.failure for each in found], pa.string())
    details = pa.array([each.detail for each in found], pa.string())
    features = pa.ListArray.from_arrays(offsets, floats).cast(FEATURES_ARROW_SCHEMA.field("features").type)
    return pa.RecordBatch.from_arrays([hashes, features, failures, details], schema=FEATURES_ARROW_SCHEMA)

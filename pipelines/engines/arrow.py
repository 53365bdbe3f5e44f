"""Arrow batches of images in, Arrow batches of features out: the code that runs on executors.

Every worker process imports what this module imports: no Spark, no pandas, no settings.
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
    """Freeze the objects loaded so far, once per worker, so that the `gc.collect()` after each task skips them.

    Spark's daemon calls it after every task. Traversing all objects of NumPy, Arrow and the engine takes 50 to 70 ms,
    during which the worker cannot start its next task.
    """
    gc.freeze()


def with_flip(network: Network, flips: Sequence[bool]) -> Network:
    """Concatenate the features of each image and of its horizontal flip, one block for each item of `flips`."""
    if not any(flips):
        return network

    def run(pixels: Pixels) -> Features:
        views = (np.ascontiguousarray(pixels[:, :, ::-1]) if flip else pixels for flip in flips)
        return np.concatenate([network(view) for view in views], axis=1)

    return run


def embed_batches(
    batches: Iterable[pa.RecordBatch], embed: EmbedFn, count: Callable[[int, int], None] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield content_hash, features, failure, failure_detail for each batch of content_hash, content.

    Calls `count(done, failed)` after each batch.
    """
    # The network's batches cross the boundaries of Arrow's, which are sized by bytes.
    hashes: deque[pa.Array] = deque()
    embeddings: list[Embedding] = []
    for embedding in embed(_iter_contents(batches, hashes)):
        embeddings.append(embedding)
        if len(embeddings) == len(hashes[0]):
            if count:
                count(len(embeddings), sum(item.failure is not None for item in embeddings))
            yield _build_record_batch(hashes.popleft(), embeddings)
            embeddings = []


def _iter_contents(batches: Iterable[pa.RecordBatch], hashes: deque[pa.Array]) -> Iterator[bytes | None]:
    """Yield the images of all batches, and append each batch's hashes to `hashes`."""
    for batch in batches:
        if batch.num_rows:
            hashes.append(batch.column(0))
        for content in batch.column(1):
            yield content.as_py()


def _build_record_batch(hashes: pa.Array, embeddings: list[Embedding]) -> pa.RecordBatch:
    """Build a batch with all features in one float32 buffer: Python lists of floats cost more than the network."""
    lengths = [0 if item.features is None else len(item.features) for item in embeddings]
    offsets = pa.array(
        [
            None if item.features is None else int(end - length)
            for item, length, end in zip(embeddings, lengths, np.cumsum(lengths), strict=True)
        ]
        + [int(sum(lengths))],
        pa.int32(),
    )
    values = [item.features for item in embeddings if item.features is not None]
    floats = pa.array(np.concatenate(values) if values else np.empty(0, np.float32))
    failures = pa.array([item.failure for item in embeddings], pa.string())
    details = pa.array([item.detail for item in embeddings], pa.string())
    features = pa.ListArray.from_arrays(offsets, floats).cast(FEATURES_ARROW_SCHEMA.field("features").type)
    return pa.RecordBatch.from_arrays([hashes, features, failures, details], schema=FEATURES_ARROW_SCHEMA)

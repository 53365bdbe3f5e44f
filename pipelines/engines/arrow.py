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
from pipelines.backbones.views import CroppedImage
from pipelines.images.crop import Box

FEATURES_ARROW_SCHEMA = pa.schema(
    [
        ("content_hash", pa.string()),
        ("features", pa.list_(pa.field("element", pa.float32()))),
        ("failure", pa.string()),
        ("failure_detail", pa.string()),
    ]
)
FEATURES_DDL = "content_hash string, features array<float>, failure string, failure_detail string"
FALLBACKS = "fallbacks"  # column: for each view why it shows the whole image
FALLBACKS_DDL = f"{FALLBACKS} array<string>"
BOXES_PREFIX = "box_"  # of the columns with the boxes of the views
Item = bytes | CroppedImage | None
EmbedFn = Callable[[Iterable[Item]], Iterator[Embedding]]
ViewSpec = tuple[int, bool]  # index of a crop, and whether it is flipped


@cache
def freeze_gc() -> None:
    """Freeze the objects loaded so far, once per worker, so that the `gc.collect()` after each task skips them.

    Spark's daemon calls it after every task. Traversing all objects of NumPy, Arrow and the engine takes 50 to 70 ms,
    during which the worker cannot start its next task.
    """
    gc.freeze()


def with_views(network: Network, views: Sequence[ViewSpec]) -> Network:
    """Concatenate the features of crops of an image and of their horizontal flips, one block for each view.

    With a single crop the returned function takes pixels of shape (n, side, side, 3), otherwise
    (n, crops, side, side, 3). Where a crop equals the first one, because it is of the whole image too, its features are
    copied.
    """
    if not any(crop or flip for crop, flip in views):
        return network

    def run(pixels: Pixels) -> Features:
        crops = pixels.swapaxes(0, 1) if pixels.ndim == 5 else pixels[np.newaxis]
        features: dict[ViewSpec, Features] = {}
        for crop, flip in views:
            part = crops[crop][:, :, ::-1] if flip else crops[crop]
            first = features.get((0, flip))
            if first is None:
                features[crop, flip] = network(np.ascontiguousarray(part))
                continue
            differs = np.array([not np.array_equal(*pair) for pair in zip(crops[0], crops[crop], strict=True)])
            features[crop, flip] = first.copy()
            if differs.any():
                features[crop, flip][differs] = network(np.ascontiguousarray(part[differs]))
        return np.concatenate([features[view] for view in views], axis=1)

    return run


def embed_batches(
    batches: Iterable[pa.RecordBatch], embed: EmbedFn, count: Callable[[int, int], None] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield content_hash, features, failure, failure_detail for each batch of content_hash, content.

    Columns `box_0`, `box_1` ... (x, y, width, height as fractions, or null) make the images CroppedImages; a column
    `fallbacks` is passed on. Calls `count(done, failed)` after each batch.
    """
    # The network's batches cross the boundaries of Arrow's, which are sized by bytes.
    keys: deque[list[pa.Array]] = deque()
    embeddings: list[Embedding] = []
    for embedding in embed(_iter_contents(batches, keys)):
        embeddings.append(embedding)
        if len(embeddings) == len(keys[0][0]):
            if count:
                count(len(embeddings), sum(item.failure is not None for item in embeddings))
            yield _build_record_batch(keys.popleft(), embeddings)
            embeddings = []


def _iter_contents(
    batches: Iterable[pa.RecordBatch], keys: deque[list[pa.Array]]
) -> Iterator[bytes | CroppedImage | None]:
    """Yield the images of all batches, and append to `keys` each batch's hashes and, if it has them, fallbacks."""
    for batch in batches:
        if batch.num_rows:
            keys.append([batch.column(name) for name in ("content_hash", FALLBACKS) if name in batch.schema.names])
        names = [name for name in batch.schema.names if name.startswith(BOXES_PREFIX)]
        if not names:
            yield from (content.as_py() for content in batch.column(1))
            continue
        for content, *boxes in zip(batch.column(1), *map(batch.column, names), strict=True):
            yield CroppedImage(content.as_py(), [Box(*box.as_py()) if box.is_valid else None for box in boxes])


def _build_record_batch(keys: list[pa.Array], embeddings: list[Embedding]) -> pa.RecordBatch:
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
    hashes, *fallbacks = keys
    schema = FEATURES_ARROW_SCHEMA.append(pa.field(FALLBACKS, pa.list_(pa.string()))) if fallbacks else None
    columns = [hashes, features, failures, details, *fallbacks]
    return pa.RecordBatch.from_arrays(columns, schema=schema or FEATURES_ARROW_SCHEMA)

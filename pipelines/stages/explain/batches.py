"""Arrow batches of images in, Arrow batches of boxes out: how executors call the explainer.

Workers import no Spark, no pandas and no settings for this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from pipelines.backbones import Embedding
from pipelines.explanation.boxes import Attention
from pipelines.stages.explain.explainer import Item, Result

BOXES_ARROW_SCHEMA = pa.schema(
    [("content_hash", pa.string()), ("path", pa.string()), ("label", pa.string())]
    + [(name, pa.float64()) for name in ("x", "y", "width", "height", "peak_x", "peak_y")]
    + [("failure", pa.string()), ("failure_detail", pa.string())]
)
BOXES_DDL = (
    "content_hash string, path string, label string, x double, y double, width double, height double, "
    "peak_x double, peak_y double, failure string, failure_detail string"
)
FLAT = "the map is the same everywhere"


def explain_batches(
    batches: Iterable[pa.RecordBatch],
    classes: Sequence[str],
    run: Callable[[Iterable[Item]], Iterator[Result]],
    count: Callable[[int], None] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield rows of BOXES_ARROW_SCHEMA for batches with the columns of Item; calls `count(done)` after each batch."""
    results = run(_iter_items(batches))
    while chunk := list(islice(results, 256)):
        rows = [_row(classes, *result) for result in chunk]
        if count:
            count(len(rows))
        yield pa.RecordBatch.from_pylist(rows, schema=BOXES_ARROW_SCHEMA)


def _row(classes: Sequence[str], item: Item, label: int, found: Attention | Embedding | None) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(BOXES_ARROW_SCHEMA.names)
    row |= {"content_hash": item.content_hash, "path": item.path, "label": classes[label]}
    if isinstance(found, Embedding):
        return row | {"label": None, "failure": found.failure, "failure_detail": found.detail}
    if found is None:
        return row | {"failure_detail": FLAT}
    return row | found.box._asdict() | {"peak_x": found.peak[0], "peak_y": found.peak[1]}


def _iter_items(batches: Iterable[pa.RecordBatch]) -> Iterator[Item]:
    for batch in batches:
        columns = [batch.column(batch.schema.get_field_index(name)) for name in Item._fields]
        for values in zip(*columns, strict=True):
            yield Item(*(value.as_py() for value in values))

"""Work units of featurize: images that lack the same views of the same backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from pipelines.backbones import Backbone
from pipelines.schemas import flipped_id
from pipelines.workspace.tables import content_ingested_at

# Typical and maximum size of an Arrow and of a Parquet batch: a task reads a whole batch before the worker gets its
# first image, but each batch costs the worker a quarter of a millisecond.
_BATCH_BYTES, _MAX_BATCH_BYTES, _MAX_BATCH_ROWS = 4 * 2**20, 32 * 2**20, 256


@dataclass(frozen=True)
class WorkUnit:
    """Images to featurize with one backbone; `views` are the feature ids of the image and of its flipped copy."""

    backbone: Backbone
    views: tuple[str, ...]
    count: int  # images
    unreadable_count: int  # of these, could not be read by ingest
    replaced_count: int  # of these, replace an existing row
    size: int  # bytes of all images
    largest: int  # bytes of the largest image
    since: datetime

    @property
    def flips(self) -> tuple[bool, ...]:
        """Return for each view whether it is of the flipped image."""
        return tuple(view != self.backbone.feature_id for view in self.views)

    @property
    def batch_rows(self) -> int:
        """Return the number of images per batch, by their mean size; all being as large as the largest must fit too."""
        typical = _BATCH_BYTES * self.count // max(1, self.size)
        return max(1, min(typical, _MAX_BATCH_BYTES // self.largest, _MAX_BATCH_ROWS))

    def rows(self, pending: DataFrame) -> DataFrame:
        """Return the pending images that lack exactly these views."""
        for view in _view_ids(self.backbone):
            is_lacking = F.array_contains("lacking", view)
            pending = pending.where(is_lacking if view in self.views else ~is_lacking)
        return pending


def count_pending(pending: DataFrame) -> list[Row]:
    """Return count, unreadable, replaced, size, largest, since of the pending images by their missing features."""
    is_replaced = F.when(F.col("is_replaced"), 1)
    numbers = (
        F.count("*").alias("count"),
        F.count("failure").alias("unreadable"),
        F.count(is_replaced).alias("replaced"),
    )
    sizes = (F.sum("size").alias("size"), F.max("size").alias("largest"))
    since = F.min(content_ingested_at()).alias("since")
    return pending.groupBy("lacking").agg(*numbers, *sizes, since).collect()  # type: ignore[no-any-return]


def plan_work(backbone: Backbone, counts: Sequence[Row]) -> list[WorkUnit]:
    """Return a work unit for each set of missing views: images that lack both are decoded once."""
    lacking: dict[tuple[str, ...], list[Row]] = {}
    for row in counts:
        lacking.setdefault(tuple(view for view in _view_ids(backbone) if view in row["lacking"]), []).append(row)
    return [
        WorkUnit(
            backbone,
            views,
            sum(row["count"] for row in rows),
            sum(row["unreadable"] for row in rows),
            sum(row["replaced"] for row in rows),
            sum(row["size"] or 0 for row in rows),
            max(row["largest"] or 1 for row in rows),
            min(row["since"] for row in rows),
        )
        for views, rows in lacking.items()
        if views
    ]


def _view_ids(backbone: Backbone) -> tuple[str, str]:
    """Return the feature ids of the image and of its flipped copy."""
    return backbone.feature_id, flipped_id(backbone.feature_id)

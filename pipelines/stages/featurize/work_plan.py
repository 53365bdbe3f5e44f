"""What featurize computes in one go: the images that lack the same views of the same backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from pipelines.backbones import Backbone
from pipelines.schemas import flipped_id
from pipelines.workspace.tables import content_ingested_at

# What one Arrow batch and one Parquet batch hold of images, as a rule and at most: a task reads a batch before its
# worker sees the first of it, but each costs the worker a quarter of a millisecond.
_BATCH_BYTES, _MAX_BATCH_BYTES, _MAX_BATCH_ROWS = 4 * 2**20, 32 * 2**20, 256


@dataclass(frozen=True)
class WorkUnit:
    """Hold what a backbone computes in one go: `views`, identities of features of the image as it is and flipped."""

    backbone: Backbone
    views: tuple[str, ...]
    count: int  # of images
    unreadable_count: int  # of them, those that ingest could not read
    replaced_count: int  # of them, those whose old row goes
    size: int  # bytes, of all
    largest: int  # bytes, of one
    since: datetime

    @property
    def flips(self) -> tuple[bool, ...]:
        """Say of each view whether it is of the flipped image."""
        return tuple(view != self.backbone.feature_id for view in self.views)

    @property
    def batch_rows(self) -> int:
        """Give how many images a batch takes: by their mean size, and by the largest, should all be as large."""
        usual = _BATCH_BYTES * self.count // max(1, self.size)
        return max(1, min(usual, _MAX_BATCH_BYTES // self.largest, _MAX_BATCH_ROWS))

    def rows(self, waiting: DataFrame) -> DataFrame:
        """Give those of the waiting images that lack just these views."""
        for view in _view_ids(self.backbone):
            is_lacking = F.array_contains("lacking", view)
            waiting = waiting.where(is_lacking if view in self.views else ~is_lacking)
        return waiting


def count_pending(waiting: DataFrame) -> list[Row]:
    """Give count, unread, replaced, size, largest, since of the waiting images, by what they are lacking."""
    is_replaced = F.when(F.col("is_replaced"), 1)
    numbers = (F.count("*").alias("count"), F.count("failure").alias("unread"), F.count(is_replaced).alias("replaced"))
    sizes = (F.sum("size").alias("size"), F.max("size").alias("largest"))
    since = F.min(content_ingested_at()).alias("since")
    return waiting.groupBy("lacking").agg(*numbers, *sizes, since).collect()  # type: ignore[no-any-return]


def plan_work(backbone: Backbone, counts: Sequence[Row]) -> list[WorkUnit]:
    """Give a pass for every choice of views that images lack: what lacks both is decoded once."""
    lacking: dict[tuple[str, ...], list[Row]] = {}
    for row in counts:
        lacking.setdefault(tuple(view for view in _view_ids(backbone) if view in row["lacking"]), []).append(row)
    return [
        WorkUnit(
            backbone,
            views,
            sum(row["count"] for row in rows),
            sum(row["unread"] for row in rows),
            sum(row["replaced"] for row in rows),
            sum(row["size"] or 0 for row in rows),
            max(row["largest"] or 1 for row in rows),
            min(row["since"] for row in rows),
        )
        for views, rows in lacking.items()
        if views
    ]


def _view_ids(backbone: Backbone) -> tuple[str, str]:
    """Give what names its features of the image as it is, and of the flipped one."""
    return backbone.feature_id, flipped_id(backbone.feature_id)

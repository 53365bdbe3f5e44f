"""Work units of featurize: images that lack the same views of the same backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from pipelines.backbones import Backbone
from pipelines.engines.arrow import ViewSpec
from pipelines.feature_ids import FLIPPED_SUFFIX, region_view
from pipelines.spark.image_batches import rows_per_batch
from pipelines.workspace.tables import content_ingested_at


@dataclass(frozen=True)
class WorkUnit:
    """Images to featurize with one backbone; `views` are the feature ids to compute, also of crops and flips."""

    backbone: Backbone
    views: tuple[str, ...]
    count: int  # images
    unreadable_count: int  # of these, could not be read by ingest
    replaced_count: int  # of these, replace an existing row
    size: int  # bytes of all images
    largest: int  # bytes of the largest image
    since: datetime

    @property
    def crops(self) -> tuple[str | None, ...]:
        """Return what to cut from each decoded image: keys of the table regions, None for the whole image."""
        return tuple(dict.fromkeys(map(region_view, self.views)))

    @property
    def view_specs(self) -> tuple[ViewSpec, ...]:
        """Return for each view the index of its crop, and whether it is flipped."""
        return tuple((self.crops.index(region_view(view)), view.endswith(FLIPPED_SUFFIX)) for view in self.views)

    @property
    def batch_rows(self) -> int:
        """Return the number of images per batch."""
        return rows_per_batch(self.count, self.size, self.largest)

    def rows(self, pending: DataFrame) -> DataFrame:
        """Return the pending images that lack exactly these views."""
        identity = self.backbone.feature_id
        own = F.filter("lacking", lambda part: (part == identity) | part.startswith(f"{identity}/"))
        return pending.where(own == F.array(*map(F.lit, self.views)))


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
    """Return a work unit for each set of missing views: images that lack several are decoded once."""
    lacking: dict[tuple[str, ...], list[Row]] = {}
    for row in counts:
        lacking.setdefault(tuple(part for part in row["lacking"] if _belongs_to(part, backbone)), []).append(row)
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


def _belongs_to(part: str, backbone: Backbone) -> bool:
    """Return whether a feature id is of any view of the backbone."""
    return part == backbone.feature_id or part.startswith(f"{backbone.feature_id}/")

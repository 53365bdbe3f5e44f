"""Read the table regions: where the views of an image look."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipelines.feature_ids import is_detection, region_view, split_ids
from pipelines.images.crop import Box
from pipelines.workspace.detections import newest_imports
from pipelines.workspace.tables import Tables


def region_views(backbone: str) -> list[str]:
    """Return the keys of the table regions that a joined feature id needs, in order."""
    views = (region_view(part) for part in split_ids(backbone))
    return list(dict.fromkeys(view for view in views if view))


def read_regions(tables: Tables, view: str) -> DataFrame:
    """Return the newest row of each content of a view.

    Columns: content_hash, box, fallback, detections_at, located_at, statistics. `box` is an array of
    x, y, width, height as fractions; null: the whole image.
    """
    newest = Window.partitionBy("content_hash").orderBy(F.col("located_at").desc())
    rows = tables.read("regions").where(F.col("view") == view).withColumn("age", F.row_number().over(newest))
    box = F.when(F.col("x").isNotNull(), F.array(*Box._fields)).alias("box")
    return rows.where("age = 1").select("content_hash", box, "fallback", "detections_at", "located_at", "statistics")


def outdated_detection_regions(tables: Tables, view: str) -> DataFrame:
    """Return content_hash, located_at, is_outdated of contents with a region of this view or with detections.

    A region is outdated if other detections than the newest were used.
    """
    regions = read_regions(tables, view).select("content_hash", "detections_at", "located_at")
    rows = regions.join(newest_imports(tables), "content_hash", "full")
    is_outdated = ~F.col("imported_at").eqNullSafe(F.col("detections_at"))
    return rows.select("content_hash", "located_at", is_outdated.alias("is_outdated"))


def with_outdated(tables: Tables, features: DataFrame, part: str) -> DataFrame:
    """Add `is_outdated` to rows of features of one feature id: whether newer detections move their crop."""
    view = region_view(part)
    if view is None or not is_detection(view):
        return features.withColumn("is_outdated", F.lit(False))
    regions = outdated_detection_regions(tables, view).withColumnRenamed("is_outdated", "is_region_outdated")
    rows = features.join(regions, "content_hash", "left")
    is_outdated = F.col("is_region_outdated") | (F.col("located_at") > F.col("featurized_at"))
    return rows.withColumn("is_outdated", F.coalesce(is_outdated, F.lit(False))).select(
        *features.columns, "is_outdated"
    )


def add_regions(tables: Tables, images: DataFrame, views: list[str]) -> DataFrame:
    """Add `regions` to rows with content_hash: a map from view to box, fallback, statistics; empty without any."""
    columns = ["box", "fallback", "statistics"]
    region = F.struct("view", F.struct(*columns))
    rows = None
    for view in views:
        found = read_regions(tables, view).select("content_hash", F.lit(view).alias("view"), *columns)
        rows = found if rows is None else rows.unionAll(found)
    if rows is None:
        return images
    maps = rows.groupBy("content_hash").agg(F.map_from_entries(F.collect_list(region)).alias("regions"))
    return images.join(maps, "content_hash", "left")

"""Choose the detection that an image is cropped to."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.images.crop import Box
from pipelines.workspace.detections import newest_detections
from pipelines.workspace.tables import Tables

MIN_SCORE = 0.1  # of a detection: below, MegaDetector's boxes are mostly background
ANIMAL = "animal"


def detected_boxes(tables: Tables) -> DataFrame:
    """Return content_hash, detections_at, box of all contents with detections; the box may be null.

    The box is the most certain animal of the newest import, else the most certain of any other category; null without
    one of at least MIN_SCORE.
    """
    rows = newest_detections(tables).withColumnRenamed("imported_at", "detections_at")
    is_certain = (F.col("number") >= 0) & (F.col("score") >= MIN_SCORE)
    order = F.coalesce(F.col("category") == ANIMAL, F.lit(False)), F.col("score"), -F.col("number")
    rank = F.struct(*order, F.struct(*Box._fields).alias("box"))
    best = F.max(F.when(is_certain, rank)).alias("best")
    rows = rows.groupBy("content_hash", "detections_at").agg(best)
    return rows.select("content_hash", "detections_at", F.col("best").getField("box").alias("box"))

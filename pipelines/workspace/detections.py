"""Read the table detections: the boxes of a content are those of its newest import or run of a detector."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipelines.workspace.tables import Tables


def newest_detections(tables: Tables) -> DataFrame:
    """Return for each content the rows of the file that was imported last, of those that name it.

    A detector's file counts from the time of its run on. Images that it could not see keep their earlier rows.
    """
    latest = F.max(F.struct("imported_at", "file_sha256")).over(Window.partitionBy("content_hash"))
    rows = _usable_detections(tables).withColumn("latest", latest)
    return rows.where(F.struct("imported_at", "file_sha256") == F.col("latest")).drop("latest")


def newest_imports(tables: Tables) -> DataFrame:
    """Return content_hash, imported_at of the newest detections of each content."""
    return _usable_detections(tables).groupBy("content_hash").agg(F.max("imported_at").alias("imported_at"))


def _usable_detections(tables: Tables) -> DataFrame:
    """Return the rows of images that the detector could see."""
    return tables.read("detections").where("failure is null")

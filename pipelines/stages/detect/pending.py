"""Which images to look at: those without detections of this detector."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.workspace.detections import newest_detections
from pipelines.workspace.tables import ROW_KEY, Tables


def images_to_detect(tables: Tables, sha256: str, rule: str) -> DataFrame:
    """Return one row for each current content without detections by a file and the settings `rule`.

    Columns: content_hash, path, ingested_at, size, content_path, content_at, failure, failure_detail. A content whose
    only rows have a failure is returned again if ingest has read it since.
    """
    columns = ["size", "content_path", "content_at", "failure", "failure_detail"]
    images = tables.latest_images().where("content_hash is not null").select("content_hash", *ROW_KEY, *columns)
    first = F.min(F.struct("ingested_at", "path", *columns)).alias("row")
    rows = images.groupBy("content_hash").agg(first).select("content_hash", "row.*")
    done = tables.read("detections").where(_is_by(sha256, rule))
    has_failed = F.min(F.col("failure").isNotNull()).alias("has_failed")
    done = done.groupBy("content_hash").agg(F.max("imported_at").alias("detected_at"), has_failed)
    rows = rows.join(done, "content_hash", "left")
    is_mended = F.col("has_failed") & F.col("failure").isNull() & (F.col("ingested_at") > F.col("detected_at"))
    return rows.where(F.col("detected_at").isNull() | is_mended).drop("detected_at", "has_failed")


def count_overridden(tables: Tables, sha256: str, rule: str) -> int:
    """Return the number of contents with detections by this file and rule, but newer ones by others."""
    is_own = _is_by(sha256, rule)
    own = tables.read("detections").where(is_own & F.col("failure").isNull()).select("content_hash").distinct()
    newest = newest_detections(tables).where(~is_own).select("content_hash").distinct()
    return own.join(newest, "content_hash").count()


def _is_by(sha256: str, rule: str) -> Column:
    """Return the condition that a row is by this file, whatever its name, and rule."""
    is_rule = F.coalesce(F.col("detector").endswith(f"({rule})"), F.lit(False))
    return F.col("file_sha256").eqNullSafe(F.lit(sha256)) & is_rule

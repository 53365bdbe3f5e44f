"""Delete images that were removed from their source, and the bytes of files that are not images."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipelines.config.settings import Settings
from pipelines.formatting import pluralize
from pipelines.images.signatures import detect_supported_format
from pipelines.spark.runtime import sql_conf
from pipelines.workspace.free_space import is_local, require_free_space
from pipelines.workspace.hold import is_exclusive, pin_table
from pipelines.workspace.tables import ROW_KEY, Tables

TABLES = ("images", "features", "predictions", "detections", "regions", "boxes")  # with rows of an image
SIGNATURE_BYTES = 512  # bytes that identify a file format
FEW_TASKS = {"spark__sql__sources__parallelPartitionDiscovery__parallelism": "16"}  # Delta lists a folder in 10,000
NO_VACUUM_LOG = {"spark__databricks__delta__vacuum__logging__enabled": "false"}  # on a full disk no commit is possible
NO_CHECK = {"spark__databricks__delta__retentionDurationCheck__enabled": "false"}


@dataclass(frozen=True)
class DeletionCount:
    """The number of images that are, or would be, deleted, and their bytes that no other image shares."""

    images: int
    bytes: int

    def __str__(self) -> str:
        return f"{pluralize(self.images, 'removed image')}, {self.bytes:,} bytes"


def delete_due(tables: Tables, settings: Settings, now: datetime) -> tuple[list[str], datetime | None]:
    """Delete images removed ingest.keep_removed_days ago. Return sentences, and the time of the next deletion."""
    retention = timedelta(days=settings.ingest.keep_removed_days)
    if not tables.read("images").where("removed_at is not null").head(1):
        return [], None
    before = now - retention
    notes = []
    deletable = tables.materialize(find_deletable(tables))
    first_removal = _first_removal(deletable)
    if first_removal and first_removal <= before:
        if (deleted := delete_removed(tables, settings, before)).images:
            notes = [f"{deleted} deleted, {settings.ingest.keep_removed_days:g} days after removal from the source."]
        first_removal = _first_removal(deletable.where(F.col("removed_at") > F.lit(before)))
    return notes, first_removal + retention if first_removal else None


def delete_removed(tables: Tables, settings: Settings, before: datetime | None = None) -> DeletionCount:
    """Delete images removed up to a time (null: all) from the tables, then from the storage.

    The table images comes last: a run that is killed before that finds the same images again.
    """
    pin_table(tables, settings, "images")  # ingest must not refer to bytes that are being deleted
    rows = tables.materialize(find_deletable(tables, before))
    deleted = count_deletable(rows)
    if deleted.images:
        require_rewrite_space(tables, rows)
        unneeded = rows.where("content_hash is not null and not is_needed").select("content_hash")
        keys = {"predictions": rows.select("path")}
        keys.update(dict.fromkeys(("features", "detections", "regions", "boxes"), unneeded))
        for name, gone in keys.items():
            if tables.exists(name):
                tables.delete_matching(name, gone)
        with sql_conf(tables.spark, spark__sql__parquet__compression__codec="uncompressed"):  # as ingest writes them
            tables.delete_matching("images", rows.select(*ROW_KEY))
        for name in TABLES:
            if tables.exists(name):
                vacuum(tables, settings, name)
    return deleted


def vacuum(tables: Tables, settings: Settings, name: str) -> None:
    """Delete files of a table that no snapshot needs: at once if nobody else writes to it, else after Delta's week."""
    with sql_conf(tables.spark, **FEW_TASKS, **NO_VACUUM_LOG, **(NO_CHECK if is_exclusive(settings) else {})):
        tables.vacuum(name, 0 if is_exclusive(settings) else None)


def find_non_images(tables: Tables) -> DataFrame:
    """Return path, ingested_at and size of rows with the bytes of a file without an image signature, materialized.

    An earlier version wrote them; ingest now keeps only the hash of such a file.
    """
    failed = tables.read("images").where("failure is not null and content is not null")
    start = F.expr(f"substring(content, 1, {SIGNATURE_BYTES})").alias("start")
    candidates = failed.select(*ROW_KEY, F.length("content").alias("size"), start)
    is_image = F.udf(lambda beginning: detect_supported_format(bytes(beginning)) is not None, "boolean")
    return tables.materialize(candidates.where(~is_image("start")).drop("start"))


def clear_content(tables: Tables, settings: Settings, rows: DataFrame) -> None:
    """Delete the bytes of the rows of `find_non_images`; hash and failure stay, as ingest now writes them."""
    require_rewrite_space(tables, rows)
    with sql_conf(tables.spark, spark__sql__parquet__compression__codec="uncompressed"):
        tables.delete_matching("images", rows.select(*ROW_KEY), only="content")
    vacuum(tables, settings, "images")


def require_rewrite_space(tables: Tables, rows: DataFrame) -> None:
    """Raise PlatformError if the disk lacks the space to rewrite the files that contain these rows of images.

    Delta writes the remaining rows of a file into a new file before the old one can be deleted.
    """
    if not is_local(tables):
        return
    rows_by_file = tables.read("images").select(*ROW_KEY, F.input_file_name().alias("file"))
    files = rows_by_file.join(F.broadcast(rows.select(*ROW_KEY)), ROW_KEY).select("file").distinct().collect()
    folder = Path(tables.location("images"))
    size = sum((folder / row["file"].rpartition("/")[2]).stat().st_size for row in files)
    require_free_space(tables, size, "Deleting from the table images")


def find_deletable(tables: Tables, before: datetime | None = None) -> DataFrame:
    """Return path, ingested_at, content_hash, size, holds, is_needed, removed_at of rows of removed paths.

    A row with the bytes of a present image is kept, and with it the row that records the removal of its path.
    """
    newest = tables.latest_images(with_removed=True)
    is_due = F.col("removed_at").isNotNull()
    if before is not None:
        is_due &= F.coalesce(F.col("removed_at") <= F.lit(before), F.lit(False))
    due = newest.where(is_due).select("path", "removed_at")
    needed = newest.where(~is_due).select("content_hash").where("content_hash is not null").distinct()
    rows = tables.read("images").select(*ROW_KEY, "content_hash", "content_at", "size").join(due, "path")
    rows = rows.join(needed.withColumn("is_needed", F.lit(True)), "content_hash", "left")
    rows = rows.withColumn("is_needed", F.coalesce("is_needed", F.lit(False)))
    rows = rows.withColumn("holds", F.expr("content_hash is not null and content_at is null")).drop("content_at")
    is_kept = F.max(F.col("holds") & F.col("is_needed")).over(Window.partitionBy("path"))
    return rows.withColumn("is_kept", is_kept).where("not is_kept or holds and not is_needed").drop("is_kept")


def count_deletable(rows: DataFrame) -> DeletionCount:
    """Count the images and bytes of the rows of `find_deletable`."""
    size = F.sum(F.when(F.col("holds"), F.col("size")))
    images, total = rows.agg(F.countDistinct("path"), F.coalesce(size, F.lit(0))).first()
    return DeletionCount(images, total)


def _first_removal(rows: DataFrame) -> datetime | None:
    first_removal: datetime | None = rows.agg(F.min("removed_at")).first()[0]
    return first_removal.astimezone(timezone.utc) if first_removal else None

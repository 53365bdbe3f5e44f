"""Clean: delete images that are gone from their source, with their bytes, features and predictions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from pipelines.reports.wording import plural
from pipelines.settings import Settings
from pipelines.spark_conf import sql_conf
from pipelines.stages.holding import is_exclusive, pin
from pipelines.storage.tables import ROW, Tables

TABLES = ("images", "features", "predictions")
LATER = "the storage keeps the bytes until `irbis clean` runs again after a week, as others may use the tables"
FEW_TASKS = {"spark__sql__sources__parallelPartitionDiscovery__parallelism": "16"}  # Delta lists a folder in 10,000
NO_CHECK = {"spark__databricks__delta__retentionDurationCheck__enabled": "false"}


@dataclass(frozen=True)
class Cleaned:
    """Count the images that were, or would be, deleted, and the bytes of theirs that no other image has."""

    images: int
    bytes: int

    def __str__(self) -> str:
        return f"{plural(self.images, 'removed image')}, {self.bytes:,} bytes"


def run(spark: SparkSession, settings: Settings, *, dry_run: bool = False) -> str:
    """Delete all that is gone from its source now, whatever ingest.keep_removed_days says. Returns what was done."""
    tables = Tables.of(spark, settings)
    if dry_run:
        return f"{_count(deletable(tables))} would be deleted"
    cleaned = clean(tables, settings)
    later = "" if is_exclusive(settings) else f"; {LATER}"
    return f"{cleaned} deleted{later}"


def clean_due(tables: Tables, settings: Settings, now: datetime) -> tuple[list[str], datetime | None]:
    """Delete what was removed ingest.keep_removed_days ago. Returns sentences, and when there is more to delete."""
    keep = timedelta(days=settings.ingest.keep_removed_days)
    if not tables.read("images").where("removed_at is not null").head(1):
        return [], None
    before = now - keep
    notes = []
    rest = tables.settled(deletable(tables))
    first = _first_removal(rest)
    if first and first <= before:
        if (cleaned := clean(tables, settings, before)).images:
            notes = [f"{cleaned} deleted, {settings.ingest.keep_removed_days:g} days after they were gone."]
        first = _first_removal(rest.where(F.col("removed_at") > F.lit(before)))
    return notes, first + keep if first else None


def clean(tables: Tables, settings: Settings, before: datetime | None = None) -> Cleaned:
    """Delete what was removed until a moment (null: all of it) from the tables, then from the storage.

    Images come last: a run that is killed before finds the same again.
    """
    pin(tables, settings, "images")  # ingest must not refer to bytes that go at the same time
    rows = tables.settled(deletable(tables, before))
    cleaned = _count(rows)
    if cleaned.images:
        unneeded = rows.where("content_hash is not null and not is_needed").select("content_hash")
        for name, gone in {"predictions": rows.select("path"), "features": unneeded}.items():
            if tables.exists(name):
                tables.delete_matching(name, gone)
        with sql_conf(tables.spark, spark__sql__parquet__compression__codec="uncompressed"):  # as ingest writes them
            tables.delete_matching("images", rows.select(*ROW))
    with sql_conf(tables.spark, **FEW_TASKS, **(NO_CHECK if is_exclusive(settings) else {})):
        for name in TABLES:
            if tables.exists(name):
                tables.vacuum(name, 0 if is_exclusive(settings) else None)
    return cleaned


def deletable(tables: Tables, before: datetime | None = None) -> DataFrame:
    """Return path, ingested_at, content_hash, size, holds, is_needed, removed_at of rows of removed paths.

    A row that holds the bytes of an image that is there stays, and with it the one that says that its path is removed.
    """
    newest = tables.current_images(with_removed=True)
    is_due = F.col("removed_at").isNotNull()
    if before is not None:
        is_due &= F.coalesce(F.col("removed_at") <= F.lit(before), F.lit(False))
    due = newest.where(is_due).select("path", "removed_at")
    needed = newest.where(~is_due).select("content_hash").where("content_hash is not null").distinct()
    rows = tables.read("images").select(*ROW, "content_hash", "content_at", "size").join(due, "path")
    rows = rows.join(needed.withColumn("is_needed", F.lit(True)), "content_hash", "left")
    rows = rows.withColumn("is_needed", F.coalesce("is_needed", F.lit(False)))
    rows = rows.withColumn("holds", F.expr("content_hash is not null and content_at is null")).drop("content_at")
    is_kept = F.max(F.col("holds") & F.col("is_needed")).over(Window.partitionBy("path"))
    return rows.withColumn("is_kept", is_kept).where("not is_kept or holds and not is_needed").drop("is_kept")


def _count(rows: DataFrame) -> Cleaned:
    size = F.sum(F.when(F.col("holds"), F.col("size")))
    images, total = rows.agg(F.countDistinct("path"), F.coalesce(size, F.lit(0))).first()
    return Cleaned(images, total)


def _first_removal(rows: DataFrame) -> datetime | None:
    first: datetime | None = rows.agg(F.min("removed_at")).first()[0]
    return first.astimezone(timezone.utc) if first else None

"""Read and write the Delta tables: by path in the workspace, or by name if a schema is set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from pipelines import schemas
from pipelines.azure.hadoop import configure_hadoop_access
from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.workspace.commits import Pin, guard_commit
from pipelines.workspace.local_delta import last_local_commit
from pipelines.workspace.location import workspace_uri

SCHEMAS = {
    "images": schemas.IMAGES,
    "features": schemas.FEATURES,
    "predictions": schemas.PREDICTIONS,
    "labels": schemas.LABELS,
    "detections": schemas.DETECTIONS,
    "regions": schemas.REGIONS,
    "boxes": schemas.BOXES,
    "datasets": schemas.DATASETS,
}
CREATED_BY = {
    "images": "irbis ingest --images DIR",
    "features": "irbis featurize",
    "predictions": "irbis score",
    "labels": "irbis review",
    "detections": "irbis import FILE` or `irbis detect --detector FILE",
    "regions": "irbis featurize",
    "boxes": "irbis explain",
    "datasets": "irbis datasets add NAME --images DIR",
}
ROW_KEY = ["path", "ingested_at"]  # identifies a row of images
BROADCAST_MAX_ROWS = 200_000  # paths or hashes


@dataclass(frozen=True)
class Tables:
    """The tables of a workspace: images, features, predictions, labels, detections, regions, boxes, datasets."""

    spark: SparkSession
    workspace: str
    schema: str | None = None
    pins: dict[str, Pin] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, spark: SparkSession, settings: Settings) -> Tables:
        """Return the tables of the settings' workspace. Raises AccessError if the storage denies access."""
        configure_hadoop_access(spark, settings)
        return cls(spark, workspace_uri(settings), settings.tables.schema_)

    def location(self, name: str) -> str:
        """Return the full name of a table, or its folder."""
        return f"{self.schema}.{name}" if self.schema else f"{self.workspace}/tables/{name}"

    def exists(self, name: str) -> bool:
        """Return whether the table was ever written."""
        if self.schema:  # catalog.tableExists takes no name with a dot before Spark 3.4
            if not self.spark.catalog.databaseExists(self.schema):
                return False
            tables_found = self.spark.sql(f"SHOW TABLES IN {self.schema} LIKE '{name}'").where("not isTemporary")
            return bool(tables_found.head(1))
        return bool(DeltaTable.isDeltaTable(self.spark, self.location(name)))

    def require(self, name: str) -> None:
        """Raise DataError with the command that creates the table, if it does not exist."""
        if not self.exists(name):
            place = self.schema or self.workspace
            raise DataError(f"There is no table {name} in {place}. Run `{CREATED_BY[name]}` first.")

    def read(self, name: str) -> DataFrame:
        """Return the table, or an empty frame with its columns if it does not exist."""
        if not self.exists(name):  # the optimizer knows that it is empty: no job, no Python worker
            return self.with_null_columns(name, self.spark.range(0).where(F.lit(False)).select())
        location = self.location(name)
        rows = self.spark.table(location) if self.schema else self.spark.read.format("delta").load(location)
        return self.with_null_columns(name, rows)  # an earlier version of irbis may have written the table

    def with_null_columns(self, name: str, rows: DataFrame) -> DataFrame:
        """Return rows with the columns of a table that they lack, null."""
        columns, there = schemas.parse_ddl(SCHEMAS[name]), set(rows.columns)
        return rows.select("*", *[F.lit(None).cast(columns[each]).alias(each) for each in columns if each not in there])

    def append(self, name: str, rows: DataFrame, *, compression: str = "snappy") -> None:
        """Append rows in one atomic commit, with columns in order. Use `uncompressed` for image bytes."""
        writer = rows.select(*schemas.parse_ddl(SCHEMAS[name])).write.format("delta")
        writer = writer.option("mergeSchema", "true").option("compression", compression)  # new columns are added
        if self.schema and not self.spark.catalog.databaseExists(self.schema):
            raise DataError(f"tables.schema = {self.schema}: there is no such schema. CREATE SCHEMA {self.schema}.")
        with guard_commit(self, name) as mode:
            writer = writer.mode(mode)
            writer.saveAsTable(self.location(name)) if self.schema else writer.save(self.location(name))

    def upsert(self, name: str, rows: DataFrame, keys: Sequence[str], *, keep_existing: bool = False) -> None:
        """Replace or keep rows with the same keys and add the others, in one atomic commit; create a missing table."""
        if not self.exists(name):
            return self.append(name, rows)
        if set(schemas.parse_ddl(SCHEMAS[name])) - set(self._delta(name).toDF().columns):
            self.append(name, rows.limit(0))  # adds the columns of a newer version, which a MERGE would drop
        condition = " and ".join(f"old.{key} <=> new.{key}" for key in keys)
        rows = rows.select(*schemas.parse_ddl(SCHEMAS[name]))
        merge = self._delta(name).alias("old").merge(rows.alias("new"), condition)
        merge = merge if keep_existing else merge.whenMatchedUpdateAll()
        with guard_commit(self, name):
            merge.whenNotMatchedInsertAll().execute()

    def insert_missing(self, name: str, rows: DataFrame, key: str) -> None:
        """Append the rows whose key is not in the table, in one atomic commit; rows that are there stay as they are."""
        self.upsert(name, rows, [key], keep_existing=True)

    def delete(self, name: str, condition: Column) -> None:
        """Delete the rows that satisfy the condition, in one atomic commit."""
        with guard_commit(self, name):
            self._delta(name).delete(condition)

    def delete_matching(self, name: str, keys: DataFrame, only: str | None = None) -> None:
        """Delete the rows that match any of the keys, or set their column `only` to null, in one atomic commit."""
        condition = " and ".join(f"old.{column} <=> gone.{column}" for column in keys.columns)
        gone = self.broadcast_keys(keys.distinct()).alias("gone")
        merge = self._delta(name).alias("old").merge(gone, condition)
        merge = merge.whenMatchedUpdate(set={only: "null"}) if only else merge.whenMatchedDelete()
        with guard_commit(self, name):
            merge.execute()

    def vacuum(self, name: str, hours: float | None) -> None:
        """Delete files that no snapshot of the last `hours` reads. Null: Delta's retention."""
        self._delta(name).vacuum(hours)

    def _delta(self, name: str) -> DeltaTable:
        open_table = DeltaTable.forName if self.schema else DeltaTable.forPath
        return open_table(self.spark, self.location(name))

    def version(self, name: str) -> int | None:
        """Return the number of the last commit; null if the table does not exist."""
        if not self.schema and "://" not in self.workspace:  # a query takes a quarter of a second
            return last_local_commit(Path(self.location(name)))
        return int(self.history(name, 1).select("version").first()[0]) if self.exists(name) else None

    def bytes_on_disk(self, name: str) -> int:
        return int(self.detail(name).select("sizeInBytes").first()[0]) if self.exists(name) else 0

    def approximate_count(self, name: str) -> int:
        """Return an upper bound of the row count: for a local table that of all its files, without a query."""
        if self.schema or "://" in self.workspace:
            return self.read(name).count()
        return sum(map(_count_rows, Path(self.location(name)).glob("*.parquet")))

    def history(self, name: str, limit: int | None = None) -> DataFrame:
        """Return Delta's history of the last `limit` commits; of all if null."""
        return self.spark.sql(f"DESCRIBE HISTORY {self.sql_name(name)}" + (f" LIMIT {limit}" if limit else ""))

    def detail(self, name: str) -> DataFrame:
        """Return Delta's single row of details on the table."""
        return self.spark.sql(f"DESCRIBE DETAIL {self.sql_name(name)}")

    def sql_name(self, name: str) -> str:
        escaped = self.location(name).replace("`", "``")
        return self.location(name) if self.schema else f"delta.`{escaped}`"

    def latest_images(self, keys: DataFrame | None = None, *, with_removed: bool = False) -> DataFrame:
        """Return the newest row of every path except removed ones, without `content`: bytes are never shuffled.

        `keys`: path and ingested_at of materialized rows; only their paths are returned. Files with only older rows
        cannot contain their newest rows, so that Delta skips them.
        """
        newest = Window.partitionBy("path").orderBy(F.col("ingested_at").desc())
        rows = self.read("images").drop("content")
        if keys is not None:
            count, since = keys.agg(F.count("*"), F.min("ingested_at")).first()
            rows = rows.where(ingested_since(since)) if count else rows
            rows = rows.join(_broadcast_if_small(keys.select("path"), count), "path", "left_semi")
        rows = rows.withColumn("age", F.row_number().over(newest)).where("age = 1").drop("age")
        return rows if with_removed else rows.where("removed_at is null")

    def materialize(self, rows: DataFrame) -> DataFrame:
        """Return the current rows (few, and without bytes), independent of later writes to the tables.

        Caching is not enough: Spark recomputes a cached frame once one of its tables has been written. On a cluster
        the rows are stored in the workspace, because an executor may be lost; but not on a Databricks volume, which
        Spark's checkpoints cannot write: there the job retries a lost stage.
        """
        if uses_local_checkpoint(self.spark.sparkContext.master, self.workspace):
            return rows.localCheckpoint()
        self.spark.sparkContext.setCheckpointDir(f"{self.workspace}/scratch/checkpoints")
        return rows.checkpoint()

    def broadcast_keys(self, keys: DataFrame) -> DataFrame:
        """Materialize the keys of a join; broadcast them if there are at most BROADCAST_MAX_ROWS (20 MB)."""
        keys = self.materialize(keys)
        return _broadcast_if_small(keys, keys.count())

    def with_content(self, rows: DataFrame, since: datetime) -> DataFrame:
        """Add `content` to rows of images with path, ingested_at, content_path and content_at.

        `since`, their oldest `content_ingested_at()`, lets Delta skip the files of older images. The rows are
        broadcast, so that the bytes are never shuffled.
        """
        stored = [F.col("path").alias("held_path"), F.col("ingested_at").alias("held_at"), "content"]
        contents = self.read("images").where(ingested_since(since)).select(*stored)
        rows = rows.withColumn("held_path", F.coalesce("content_path", "path"))
        rows = rows.withColumn("held_at", content_ingested_at())
        return contents.join(F.broadcast(rows), ["held_path", "held_at"]).drop("held_path", "held_at")


def _broadcast_if_small(keys: DataFrame, count: int) -> DataFrame:
    if not count:
        return keys.where(F.lit(False))  # the optimizer knows that it is empty: nothing is read
    return F.broadcast(keys) if count <= BROADCAST_MAX_ROWS else keys


def content_ingested_at() -> Column:
    """Return the ingested_at of the row with the bytes of a row of images."""
    return F.coalesce("content_at", "ingested_at")


def ingested_since(moment: datetime) -> Column:
    """Return the condition that a row was ingested at `moment` or later."""
    # Times from Spark are in the local time zone, which repeats one hour a year: hence UTC.
    return F.col("ingested_at") >= F.lit(moment.astimezone(timezone.utc))


def _count_rows(file: Path) -> int:
    with suppress(pa.ArrowInvalid):  # left incomplete by a killed run: not part of the table
        return int(pq.read_metadata(file).num_rows)
    return 0


def uses_local_checkpoint(master: str, workspace: str) -> bool:
    """Return whether materialized rows are stored on the executors only."""
    return master.startswith("local") or re.match(r"(dbfs:)?/+Volumes/", workspace) is not None


def count_failures(rows: DataFrame) -> dict[str, int]:
    """Count rows by failure, without those that did not fail."""
    counted = rows.where("failure is not null").groupBy("failure").count().collect()
    return {row["failure"]: row["count"] for row in counted}

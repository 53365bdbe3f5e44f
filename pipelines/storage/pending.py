"""What is still to be done: the one answer that the stages act on and that `irbis status` tells."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.storage.tables import Tables


def pictures_to_featurize(tables: Tables, backbone: str) -> DataFrame:
    """Give one row for every content that this backbone has not seen.

    Columns: content_hash, path, ingested_at, size, failure, failure_detail, is_replaced. A content that failed is
    there again (is_replaced) when ingest has read it anew since, because a limit was raised.
    """
    done = tables.read("features").where(F.col("backbone") == backbone)
    done = done.select("content_hash", F.col("failure").alias("old_failure"), "featurized_at")
    columns = ["path", "ingested_at", "size", "failure", "failure_detail"]
    fetched = tables.current_images(_paths_without(done, tables)).where("content_hash is not null")
    contents = fetched.groupBy("content_hash").agg(F.min(F.struct(*columns)).alias("row"))
    both = contents.select("content_hash", "row.*").join(done, "content_hash", "left")
    is_replaced = F.col("featurized_at").isNotNull()
    is_mended = F.col("old_failure").isNotNull() & F.col("failure").isNull()
    both = both.where(~is_replaced | (is_mended & (F.col("ingested_at") > F.col("featurized_at"))))
    return both.select("content_hash", *columns, is_replaced.alias("is_replaced"))


def _paths_without(done: DataFrame, tables: Tables) -> DataFrame | None:
    """Give the paths of any rows, the newest or not, whose content lacks features: cheaply found, most often few."""
    if not tables.exists("features"):
        return None
    rows = tables.read("images").where("content_hash is not null")
    lacking = rows.join(done.where("old_failure is null"), "content_hash", "left_anti")
    return tables.sent(lacking.select("path").distinct())


def pictures_to_score(tables: Tables, model: str, version: str, since: datetime) -> DataFrame:
    """Give path, content_hash, burst_id, failure of the current pictures, and how they stand with this version.

    `is_new`: it has no prediction as it is now. `old_bursts`: the bursts of the predictions that it has. What was
    predicted before the version was made, `since`, is of a namesake: the registry was begun anew.
    """
    columns = ["path", "content_hash", "burst_id", "failure"]
    images = tables.current_images().select(*columns, "ingested_at")
    done = (
        tables.read("predictions")
        .where((F.col("model_name") == model) & (F.col("model_version") == version))
        .select(
            "path",
            F.col("content_hash").alias("old_hash"),
            F.col("burst_id").alias("old_burst"),
            F.col("failure").alias("old_failure"),
            "scored_at",
        )
    )
    both = images.join(done, "path", "left")
    is_same = F.col("content_hash").eqNullSafe(F.col("old_hash")) & F.col("burst_id").eqNullSafe(F.col("old_burst"))
    is_same &= F.col("scored_at") >= F.lit(since)
    is_mended = F.col("old_failure").isNotNull() & F.col("failure").isNull()
    is_mended &= F.col("ingested_at") > F.col("scored_at")
    # A changed file has a row for each of its versions: it is new only if none of them is the current one.
    return both.groupBy(*columns).agg(
        F.min(~F.coalesce(is_same, F.lit(False)) | is_mended).alias("is_new"),
        F.collect_set("old_burst").alias("old_bursts"),
    )

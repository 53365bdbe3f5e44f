"""What is still to be done: the one answer that the stages act on and that `irbis status` tells."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.storage.tables import Tables


def pictures_to_featurize(tables: Tables, backbone: str) -> DataFrame:
    """Give one row of images for every content that this backbone has not seen: path, ingested_at, size, failure."""
    done = tables.read("features").where(F.col("backbone") == backbone).select("content_hash")
    columns = ["path", "ingested_at", "size", "failure", "failure_detail"]
    one = F.min(F.struct(*columns)).alias("row")
    fetched = tables.current_images().where("content_hash is not null")
    return (
        fetched.join(done, "content_hash", "left_anti").groupBy("content_hash").agg(one).select("content_hash", "row.*")
    )


def pictures_to_score(tables: Tables, model_version: str) -> DataFrame:
    """Give path, content_hash, burst_id, failure of the current pictures, and how they stand with this model.

    `is_new`: it has no prediction as it is now. `old_bursts`: the bursts of the predictions that it has.
    """
    images = tables.current_images().select("path", "content_hash", "burst_id", "failure")
    done = tables.read("predictions").where(F.col("model_version") == model_version)
    done = done.select("path", F.col("content_hash").alias("old_hash"), F.col("burst_id").alias("old_burst"))
    both = images.join(done, "path", "left").withColumn(
        "is_new",
        ~(F.col("content_hash").eqNullSafe(F.col("old_hash")) & F.col("burst_id").eqNullSafe(F.col("old_burst"))),
    )
    # A changed file has a row for each of its versions: it is new only if none of them is the current one.
    return both.groupBy("path", "content_hash", "burst_id", "failure").agg(
        F.min("is_new").alias("is_new"), F.collect_set("old_burst").alias("old_bursts")
    )

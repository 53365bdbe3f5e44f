"""Images as reports look at them: with their split, and with what a model version says of them."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.config.settings import Settings
from pipelines.evaluation.split import assign_split, labelled_images
from pipelines.tracking.mlflow_client import ModelVersion
from pipelines.workspace.features import read_features
from pipelines.workspace.tables import Tables


def images_with_split(tables: Tables, settings: Settings, version: ModelVersion | None) -> DataFrame:
    """Give the current images with their split (null: not learned from) and the failures of decoding.

    Images of classes that the version was not taught have no split, and groups of other splits that it learned from all
    the same are of train.
    """
    current = tables.latest_images()
    train = settings.train
    split = assign_split(F.col("group_id"), train.fractions, train.split_salt)
    usable = labelled_images(current, train.exclude_labels)
    if version:
        usable = usable.where(F.col("label").isin(version.classes))
        split = F.when(F.col("group_id").isin(version.learned_groups), "train").otherwise(split)
    usable = usable.select("path", split.alias("split"))
    decoded = read_features(tables, version.tags["backbone"] if version else "").where("failure is not null")
    decoded = decoded.select("content_hash", F.struct("failure", "failure_detail").alias("decoding"))
    rows = current.join(usable, "path", "left").join(decoded, "content_hash", "left")
    return rows.withColumn("failure_detail", F.coalesce("failure_detail", "decoding.failure_detail")).withColumn(
        "failure", F.coalesce("failure", "decoding.failure")
    )


def join_predictions(tables: Tables, images: DataFrame, version: ModelVersion) -> DataFrame:
    """Give the images that a version has scored as they are now, with what it says; failed ones without."""
    told = tables.read("predictions").where(F.col("scored_at") >= F.lit(version.created))  # older: of a namesake
    told = told.where((F.col("model_name") == version.name) & (F.col("model_version") == version.version))
    says = ["prediction", "score", "probabilities", "burst_prediction", "burst_score", "needs_review"]
    rows = images.join(told.select("path", F.col("content_hash").alias("told_hash"), *says), "path")
    same = F.col("content_hash").eqNullSafe(F.col("told_hash"))  # null: nothing was fetched
    return rows.where(same).drop("told_hash")


def camera_hour(time: Column) -> Column:
    """Give the hour on the camera's clock, which is kept as UTC, whatever the session's time zone."""
    return ((F.floor(time.cast("double") / 3600) % 24 + 24) % 24).cast("int")

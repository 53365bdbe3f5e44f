"""DataFrames of images for reports, with split and predictions of a model version."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.config.settings import Settings
from pipelines.evaluation.split import labelled_images
from pipelines.tracking.mlflow_client import ModelVersion
from pipelines.workspace.features import read_features
from pipelines.workspace.labels import effective_images, with_split
from pipelines.workspace.tables import Tables


def images_with_split(tables: Tables, settings: Settings, version: ModelVersion | None) -> DataFrame:
    """Return the current images with their split (null: not used for training) and the failures of decoding.

    Labels are those in force, with `label_source`. Images of classes that the version does not know have no split.
    Groups of other splits that the version was trained on nevertheless count as train.
    """
    current = effective_images(tables, settings.sources.label_case)
    usable = with_split(tables, labelled_images(current, settings.train.exclude_labels), settings.train)
    split = F.col("split")
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
    """Return the images whose current bytes a version has scored, with its predictions; null for failed images."""
    scored = tables.read("predictions").where(
        F.col("scored_at") >= F.lit(version.created)
    )  # older rows: another model of that name
    scored = scored.where((F.col("model_name") == version.name) & (F.col("model_version") == version.version))
    columns = ["prediction", "score", "probabilities", "burst_prediction", "burst_score", "needs_review"]
    rows = images.join(scored.select("path", F.col("content_hash").alias("scored_hash"), *columns), "path")
    same = F.col("content_hash").eqNullSafe(F.col("scored_hash"))  # null: nothing was fetched
    return rows.where(same).drop("scored_hash")


def camera_hour(time: Column) -> Column:
    """Return the hour (0-23) on the camera's clock, which is stored as UTC, in any session time zone."""
    return ((F.floor(time.cast("double") / 3600) % 24 + 24) % 24).cast("int")

"""Which images to explain: scored by the version, chosen, and without a row in the table boxes."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.errors import DataError
from pipelines.tracking.mlflow_client import ModelVersion
from pipelines.workspace.features import read_features
from pipelines.workspace.regions import add_regions
from pipelines.workspace.tables import ROW_KEY, Tables

KEYS = ["content_hash", "model_name", "model_version"]


def images_to_explain(
    tables: Tables, version: ModelVersion, selection: DataFrame | None, *, needs_review: bool
) -> DataFrame:
    """Return one row for each chosen content that the version has scored and not explained.

    Columns: content_hash, path, ingested_at, size, content_path, content_at, scores (probabilities in the order of the
    version's classes), failure, failure_detail, is_replaced. `selection`: path and content_hash of the images to choose
    from; null: all current ones. A content whose row has a failure is returned again (is_replaced) if ingest has read
    it since; so is one with a row of a former model of the same name. Raises DataError if nothing is scored.
    """
    predictions = scored_images(tables, version)
    if not predictions.head(1):
        raise DataError(f"{version} has not scored any image. Run `irbis score` first.")
    if needs_review:
        predictions = predictions.where("needs_review")
    columns = ["content_hash", "size", "content_path", "content_at", "failure", "failure_detail"]
    images = tables.latest_images().where("content_hash is not null").select(*ROW_KEY, *columns)
    if selection is not None:
        images = images.join(selection.select("path", "content_hash").distinct(), ["path", "content_hash"], "left_semi")
    rows = images.join(predictions.select("path", "content_hash", "scores"), ["path", "content_hash"])
    values = [name for name in rows.columns if name not in ("content_hash", "ingested_at")]
    first = F.min(F.struct("ingested_at", *values))
    rows = rows.groupBy("content_hash").agg(first.alias("row")).select("content_hash", "row.*")
    rows = _add_decoding_failures(tables, version, rows)
    explained = tables.read("boxes").where(
        (F.col("model_name") == version.name) & (F.col("model_version") == version.version)
    )
    explained = explained.select("content_hash", "explained_at", F.col("failure").alias("old_failure"))
    rows = rows.join(explained, "content_hash", "left").withColumn("is_replaced", F.col("explained_at").isNotNull())
    is_mended = F.col("old_failure").isNotNull() & F.col("failure").isNull()
    is_mended &= F.col("ingested_at") > F.col("explained_at")
    is_stale = F.col("explained_at") < F.lit(version.created)
    return rows.where(~F.col("is_replaced") | is_stale | is_mended).drop("explained_at", "old_failure")


def add_crops(images: DataFrame, tables: Tables | None, views: Sequence[str]) -> DataFrame:
    """Add `boxes` to rows with content_hash: for each key of the table regions x, y, width, height of its crop.

    Null where the view shows the whole image.
    """
    if tables is None or not views:
        return images.withColumn("boxes", F.array().cast("array<array<double>>"))
    rows = add_regions(tables, images, list(views))
    return rows.withColumn("boxes", F.array(*[F.col("regions")[view]["box"] for view in views])).drop("regions")


def scored_images(tables: Tables, version: ModelVersion) -> DataFrame:
    """Return path, content_hash, needs_review and scores of the version's predictions.

    Predictions from before the version was created are of a model of the same name in a former registry.
    """
    of_version = (F.col("model_name") == version.name) & (F.col("model_version") == version.version)
    rows = tables.read("predictions").where(of_version & (F.col("scored_at") >= F.lit(version.created)))
    classes = F.array(*[F.lit(name) for name in version.classes])
    # One array, not a column for each class: Spark takes minutes to plan a thousand.
    scores = F.transform(classes, lambda name: F.element_at("probabilities", name))
    return rows.select("path", "content_hash", "needs_review", scores.alias("scores"))


def _add_decoding_failures(tables: Tables, version: ModelVersion, rows: DataFrame) -> DataFrame:
    """Add the failures of featurize, so that an image that crashed a decoder is not decoded again."""
    failed = read_features(tables, version.tags["backbone"]).where("failure is not null")
    failed = failed.select("content_hash", F.struct("failure", "failure_detail").alias("decoding"))
    rows = rows.join(failed, "content_hash", "left")
    detail = F.when(F.col("failure").isNotNull(), F.col("failure_detail")).otherwise(F.col("decoding.failure_detail"))
    rows = rows.withColumn("failure_detail", detail)
    return rows.withColumn("failure", F.coalesce("failure", "decoding.failure")).drop("decoding")

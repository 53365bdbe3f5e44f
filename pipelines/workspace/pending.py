"""Find the pending work, for the stages and for `irbis status`."""

from __future__ import annotations

from datetime import datetime
from functools import reduce
from operator import or_

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.feature_ids import split_ids
from pipelines.workspace.features import read_backbone_features
from pipelines.workspace.regions import with_outdated
from pipelines.workspace.tables import ROW_KEY, Tables


def images_to_featurize(tables: Tables, backbone: str) -> DataFrame:
    """Return one row for every content without features of this backbone, or of a part of this joined id.

    Columns: content_hash, path, ingested_at, size, failure, failure_detail, content_path, content_at, lacking (the
    parts), is_replaced. A failed content is returned again (is_replaced) if ingest has read it successfully since,
    because a limit was raised, and so are the features of the view of detections after newer ones were imported.
    """
    columns = ["size", "failure", "failure_detail", "content_path", "content_at"]
    parts = split_ids(backbone)
    is_first = not tables.exists("features")
    images = tables.latest_images() if is_first else _without_features(tables, parts)
    rows = images.where("content_hash is not null").select("content_hash", *ROW_KEY, *columns)
    lacking, replaced = [], []
    for i, part in enumerate(parts):
        at, failed, outdated = f"featurized_at_{i}", f"failed_{i}", f"is_outdated_{i}"
        seen = with_outdated(tables, read_backbone_features(tables, part), part)
        if len(parts) == 1:  # rows with features were removed above
            seen = seen.where("failure is not null or is_outdated")
        has_failed = F.col("failure").isNotNull().alias(failed)
        times = F.col("featurized_at").alias(at), F.col("is_outdated").alias(outdated)
        rows = rows.join(seen.select("content_hash", has_failed, *times), "content_hash", "left")
        is_mended = F.col(failed) & F.col("failure").isNull() & (F.col("ingested_at") > F.col(at))
        is_replaced = is_mended | F.col(outdated)
        lacking.append(F.when(F.col(at).isNull() | is_replaced, F.lit(part)))
        replaced.append(F.coalesce(is_replaced, F.lit(False)))
    rows = rows.withColumn("lacking", F.filter(F.array(*lacking), lambda part: part.isNotNull()))
    rows = rows.withColumn("is_replaced", reduce(or_, replaced)).where(F.size("lacking") > 0)
    rows = rows.select("content_hash", *ROW_KEY, *columns, "lacking", "is_replaced")
    if not is_first:  # find the newest row per path for these rows only
        rows = tables.materialize(rows)
        rows = rows.join(tables.latest_images(rows).select(*ROW_KEY), ROW_KEY, "left_semi")
    first = F.min(F.struct(*[column for column in rows.columns if column != "content_hash"]))
    return rows.groupBy("content_hash").agg(first.alias("row")).select("content_hash", "row.*")


def lacking_parts(pending: DataFrame) -> set[str]:
    """Return the feature ids that any of the rows of `images_to_featurize` lacks."""
    return {row[0] for row in pending.select(F.explode("lacking")).distinct().collect()}


def _without_features(tables: Tables, parts: list[str]) -> DataFrame:
    """Return the rows of images, newest or not, whose content lacks features of any part: usually few."""
    seen = [with_outdated(tables, read_backbone_features(tables, part), part) for part in parts]
    complete = [rows.where("failure is null and not is_outdated").select("content_hash") for rows in seen]
    complete_in_all = reduce(lambda left, right: left.join(right, "content_hash", "left_semi"), complete)
    return tables.read("images").join(complete_in_all, "content_hash", "left_anti")


def images_to_score(tables: Tables, model: str, version: str, since: datetime, review_rule: str) -> DataFrame:
    """Return path, content_hash, burst_id, failure of the current images, and their status for a model version.

    `is_new`: the current image has no prediction by this review rule (`Score.review_rule`). `old_bursts`: the bursts of
    its existing predictions. Predictions from before `since`, when the version was created, belong to a version of the
    same name in a former registry.
    """
    columns = ["path", "content_hash", "burst_id", "failure"]
    images = tables.latest_images().select(*columns, "ingested_at")
    predicted = (
        tables.read("predictions")
        .where((F.col("model_name") == model) & (F.col("model_version") == version))
        .select(
            "path",
            F.col("content_hash").alias("old_hash"),
            F.col("burst_id").alias("old_burst"),
            F.col("failure").alias("old_failure"),
            "scored_at",
            "review_rule",
        )
    )
    # A burst that has lost a frame since it was scored is scored again.
    lost = (
        tables.read("images")
        .where("removed_at is not null")
        .groupBy("burst_id")
        .agg(F.max("removed_at").alias("lost_at"))
    )
    joined = images.join(predicted, "path", "left").join(lost, "burst_id", "left")
    is_same = F.col("content_hash").eqNullSafe(F.col("old_hash")) & F.col("burst_id").eqNullSafe(F.col("old_burst"))
    is_same &= F.col("review_rule").eqNullSafe(F.lit(review_rule))
    is_same &= (F.col("scored_at") >= F.lit(since)) & F.coalesce(F.col("scored_at") > F.col("lost_at"), F.lit(True))
    is_mended = F.col("old_failure").isNotNull() & F.col("failure").isNull()
    is_mended &= F.col("ingested_at") > F.col("scored_at")
    # A changed file has a prediction per content: it is new only if none of them is of the current content.
    return joined.groupBy(*columns).agg(
        F.min(~F.coalesce(is_same, F.lit(False)) | is_mended).alias("is_new"),
        F.collect_set("old_burst").alias("old_bursts"),
    )

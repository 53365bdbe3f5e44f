"""Read features of one backbone, or the concatenated features of several."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.feature_ids import flipped_id, split_ids
from pipelines.workspace.tables import Tables

COLUMNS = ("content_hash", "features", "failure", "failure_detail", "featurized_at")


def read_features(tables: Tables, backbone: str, *, flipped: bool = False) -> DataFrame:
    """Return content_hash, features, failure, failure_detail, featurized_at: one row per content of the backbone.

    For a joined id the features of its parts are concatenated, in order; only contents with a row of every part are
    returned. The failure of a row is the earliest of its parts, with its featurized_at. With `flipped` there is an
    additional column `flipped`: features of the flipped image, null if there are none.
    """
    parts = [read_backbone_features(tables, part) for part in split_ids(backbone)]
    rows = parts[0] if len(parts) == 1 else _join_parts(parts)
    if not flipped:
        return rows
    flipped_features = read_features(tables, flipped_id(backbone)).select(
        "content_hash", F.col("features").alias("flipped")
    )
    return rows.join(flipped_features, "content_hash", "left")


def read_backbone_features(tables: Tables, part: str) -> DataFrame:
    """Return the same columns of a single backbone: the rows as stored."""
    return tables.read("features").where(F.col("backbone") == part).select(*COLUMNS)


def _join_parts(parts: list[DataFrame]) -> DataFrame:
    failed = F.when(F.col("failure").isNotNull(), F.struct("featurized_at", "failure", "failure_detail"))
    renamed = [
        part.select(
            "content_hash",
            F.col("features").alias(f"features_{i}"),
            F.col("featurized_at").alias(f"featurized_at_{i}"),
            failed.alias(f"failed_{i}"),
        )
        for i, part in enumerate(parts)
    ]
    rows = reduce(lambda left, right: left.join(right, "content_hash"), renamed)
    features, times, failures = (
        [f"{column}_{i}" for i in range(len(parts))] for column in ("features", "featurized_at", "failed")
    )
    return rows.withColumn("failed", F.least(*failures)).select(
        "content_hash",
        F.concat(*features).alias("features"),  # null if one of them is
        "failed.failure",
        "failed.failure_detail",
        F.coalesce("failed.featurized_at", F.greatest(*times)).alias("featurized_at"),
    )

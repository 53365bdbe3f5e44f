"""Features as who learns or scores wants them: of one backbone, or of several side by side."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines import schemas
from pipelines.schemas import split_ids
from pipelines.workspace.tables import Tables

COLUMNS = ("content_hash", "features", "failure", "failure_detail", "featurized_at")


def read_features(tables: Tables, backbone: str, *, flipped: bool = False) -> DataFrame:
    """Give content_hash, features, failure, failure_detail, featurized_at: a row for every content of the backbone.

    Of a joined identity the features stand one behind the other, in its order, and only contents have a row of which
    every part has one. A failure of one part is its failure, of several the earliest; featurized_at is then of that.
    With `flipped` there is a column `flipped` more: features of the flipped image, null where there are none.
    """
    parts = [read_backbone_features(tables, part) for part in split_ids(backbone)]
    rows = parts[0] if len(parts) == 1 else _join_parts(parts)
    if not flipped:
        return rows
    flipped_features = read_features(tables, schemas.flipped_id(backbone)).select(
        "content_hash", F.col("features").alias("flipped")
    )
    return rows.join(flipped_features, "content_hash", "left")


def read_backbone_features(tables: Tables, part: str) -> DataFrame:
    """Give the same of one backbone: rows of the table as they are."""
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

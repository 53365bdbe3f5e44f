"""Store motion statistics as features; they need no backbone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.feature_ids import is_statistics, region_view
from pipelines.workspace.free_space import require_free_space
from pipelines.workspace.tables import Tables

# Each number is stored several times: beside hundreds of features of a backbone, the penalty leaves a single column
# little weight. Chosen on three sets (benchmarks/RESULTS.md).
COPIES = 25
# Of an image without a background: the mean of the medians of cameratrap_peru_sdzg and smallmammal_tunnels_no, so that
# it is no outlier.
NEUTRAL = (0.3, -0.8, -2.2, 2.7, 0.1, 1.8)
ROW_BYTES = 1024  # before compression


def store_statistics(tables: Tables, pending: DataFrame, parts: Sequence[str]) -> DataFrame:
    """Store the motion statistics that readable images lack; return what remains to be computed.

    `pending`: materialized rows of `images_to_featurize` with `regions`. `parts`: the feature ids that are required, of
    which those of motion statistics count.
    """
    parts = list(filter(is_statistics, parts))
    readable = pending.where("failure is null")
    if not parts or not readable.head(1):
        return pending
    entry, now = F.explode(F.array(*map(_entry, parts))).alias("entry"), F.lit(datetime.now(timezone.utc))
    rows = readable.select("content_hash", "lacking", entry).where("array_contains(lacking, entry.backbone)")
    rows = rows.select("content_hash", "entry.*", now.alias("featurized_at"))
    rows = tables.with_null_columns("features", rows)
    require_free_space(tables, readable.count() * len(parts) * ROW_BYTES, "The commit of motion statistics")
    if readable.where("is_replaced").head(1):
        tables.upsert("features", rows, ["content_hash", "backbone"])
    else:
        tables.append("features", rows)
    remaining = F.array_except("lacking", F.array(*map(F.lit, parts)))
    rest = pending.withColumn("lacking", F.when(F.col("failure").isNull(), remaining).otherwise(F.col("lacking")))
    return tables.materialize(rest.where(F.size("lacking") > 0))


def _entry(part: str) -> Column:
    """Return backbone, features and fallback of a feature id."""
    region = F.col("regions")[region_view(part)]
    neutral = F.array(*[F.lit(value).cast("float") for value in NEUTRAL])
    values = F.flatten(F.array_repeat(F.coalesce(region["statistics"], neutral), COPIES))
    return F.struct(F.lit(part).alias("backbone"), values.alias("features"), region["fallback"].alias("fallback"))

"""Reuse stored features of whole images for crops that show the whole image."""

from __future__ import annotations

from datetime import datetime, timezone

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.feature_ids import is_statistics, region_view, whole_feature_id
from pipelines.formatting import pluralize
from pipelines.workspace.free_space import require_free_space
from pipelines.workspace.pending import lacking_parts
from pipelines.workspace.tables import Tables

ROW_BYTES = 8 * 1024  # of a row, as with resnet50: most backbones take less


def reuse_features(tables: Tables, pending: DataFrame) -> DataFrame:
    """Append the features of crops that are those of whole images already stored; return what remains to be computed.

    `pending`: materialized rows of `images_to_featurize` with `regions`; those that replace a row remain.
    """
    wholes = {
        part: whole_feature_id(part) for part in lacking_parts(pending) if region_view(part) and not is_statistics(part)
    }
    if not wholes or not tables.exists("features"):
        return pending
    shown = F.array(*[_shown(part, whole) for part, whole in sorted(wholes.items())])
    shown = F.filter(shown, lambda view: view.isNotNull())
    rows = pending.where("failure is null and not is_replaced").select("content_hash", F.explode(shown).alias("view"))
    rows = rows.select("content_hash", "view.*")
    stored = tables.read("features").where(F.col("backbone").isin(*wholes.values()) & F.col("features").isNotNull())
    stored = stored.select("content_hash", F.col("backbone").alias("whole"), "features")
    found = rows.join(stored, ["content_hash", "whole"])
    keys = tables.materialize(found.select("content_hash", "part"))
    if not (count := keys.count()):
        return pending
    require_free_space(tables, count * ROW_BYTES, f"The copy of the features of {pluralize(count, 'crop')}")
    copied = found.withColumnRenamed("part", "backbone").withColumn("featurized_at", F.lit(datetime.now(timezone.utc)))
    tables.append("features", tables.with_null_columns("features", copied))
    done = keys.groupBy("content_hash").agg(F.collect_set("part").alias("copied"))
    rest = pending.join(done, "content_hash", "left")
    remaining = F.array_except("lacking", F.coalesce("copied", F.array().cast("array<string>")))
    rest = rest.withColumn("lacking", remaining).drop("copied")
    return tables.materialize(rest.where(F.size("lacking") > 0))


def _shown(part: str, whole: str) -> Column:
    """Return part, whole and fallback where a crop is lacking that shows the whole image; null elsewhere."""
    region = F.col("regions")[region_view(part)]
    is_lacking = F.array_contains("lacking", part) & ~F.array_contains("lacking", whole)
    is_whole = region.isNotNull() & region["box"].isNull()
    values = F.lit(part).alias("part"), F.lit(whole).alias("whole"), region["fallback"].alias("fallback")
    return F.when(is_lacking & is_whole, F.struct(*values))

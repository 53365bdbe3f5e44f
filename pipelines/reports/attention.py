"""Read the boxes of `irbis explain` for the images that a report or a notebook shows."""

from __future__ import annotations

from collections.abc import Collection

from pyspark.sql import functions as F

from pipelines.config.settings import Settings
from pipelines.reports.contents import AttentionBox
from pipelines.tracking.local_champion import find_version
from pipelines.workspace.tables import Tables


def read_attention(tables: Tables, settings: Settings, hashes: Collection[str]) -> dict[str, AttentionBox]:
    """Return by content hash where the version of `score.model_version` looks; without images that have no box."""
    if not hashes or not tables.exists("boxes"):
        return {}
    version = find_version(settings)
    if version is None:
        return {}
    rows = tables.read("boxes").where(F.col("content_hash").isin(list(hashes)) & F.col("x").isNotNull())
    rows = rows.where((F.col("model_name") == version.name) & (F.col("model_version") == version.version))
    rows = rows.where(F.col("explained_at") >= F.lit(version.created))  # older rows: another model of that name
    columns = ("content_hash", "label", "x", "y", "width", "height")
    return {row["content_hash"]: AttentionBox(*row[1:]) for row in rows.select(*columns).collect()}

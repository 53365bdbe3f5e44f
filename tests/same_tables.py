"""Compare two workspaces by what their tables hold: not by times, versions or the names of files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.config import load_settings
from pipelines.storage.tables import Tables

CONTENT = {
    "images": ["path", "content_hash", "size", "label", "burst_id", "group_id", "width", "height", "failure"],
    "features": ["content_hash", "backbone", "features", "failure"],
    "predictions": ["path", "content_hash", "prediction", "burst_prediction", "needs_review", "failure"],
}


def assert_same_tables(spark: SparkSession, one: Path, other: Path, names: Iterable[str] = CONTENT) -> None:
    """Check that both hold the same rows, and some; features to three decimals, as nothing here is exact to the bit."""
    for name in names:
        columns = CONTENT[name]
        rows, others = _content(spark, one, name, columns), _content(spark, other, name, columns)
        assert rows.count() == others.count() > 0, name
        assert rows.exceptAll(others).count() == others.exceptAll(rows).count() == 0, name


def _content(spark: SparkSession, workspace: Path, name: str, columns: list[str]) -> DataFrame:
    rounded = {"features": F.transform("features", lambda value: F.round(value, 3)).alias("features")}
    rows = Tables.of(spark, load_settings(None, {"workspace": str(workspace)})).read(name)
    return rows.select(*[rounded.get(column, F.col(column)) for column in columns])

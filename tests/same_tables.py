"""Compare two workspaces by what their tables hold: not by times, versions or the names of files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from pipelines.config.loader import load_settings
from pipelines.schemas import Failure
from pipelines.workspace.tables import Tables

CONTENT = {
    "images": ["path", "content_hash", "size", "label", "burst_id", "group_id", "width", "height", "failure"],
    "features": ["content_hash", "backbone", "features", "failure"],
    "predictions": ["path", "content_hash", "prediction", "burst_prediction", "needs_review", "failure"],
}


TRANSIENT = [failure.value for failure in Failure if failure.is_transient]
Roots = tuple[str, str]  # what the paths of the one and of the other begin with


def assert_same_tables(
    spark: SparkSession, one: Path, other: Path, names: Iterable[str] = CONTENT, roots: Roots = ("", "")
) -> None:
    """Check that both hold the same rows, and some; features to three decimals, as nothing here is exact to the bit.

    Paths are compared below the roots. No row has bytes other than those of its hash.
    """
    for name in names:
        rows, others = _content(spark, one, name, roots[0]), _content(spark, other, name, roots[1])
        assert rows.count() == others.count() > 0, name
        differing = [row.asDict() for row in rows.exceptAll(others).take(3) + others.exceptAll(rows).take(3)]
        assert not differing, (name, differing)
    wrong = _table(spark, other, "images").where("sha2(content, 256) != content_hash").count()
    assert not wrong, f"{wrong} images have other bytes than their hash says"


def _table(spark: SparkSession, workspace: Path, name: str) -> DataFrame:
    return Tables.of(spark, load_settings(None, {"workspace": str(workspace)})).read(name)


def _content(spark: SparkSession, workspace: Path, name: str, root: str) -> DataFrame:
    changed = {
        "features": F.transform("features", lambda value: F.round(value, 3)).alias("features"),
        "path": F.expr(f"substring(path, {len(root) + 1})").alias("path"),
    }
    rows = _table(spark, workspace, name)
    if name == "images":  # an image that could not be fetched at first has a row of that, and a newer one
        is_replaced = F.row_number().over(Window.partitionBy("path").orderBy(F.desc("ingested_at"))) > 1
        rows = rows.withColumn("is_replaced", is_replaced).where(
            ~F.col("is_replaced") | ~F.col("failure").isin(*TRANSIENT)
        )
    return rows.select(*[changed.get(column, F.col(column)) for column in CONTENT[name]])

"""Flat tables for spreadsheets, Power BI and scripts: images.csv and images.parquet, a row for each image."""

from __future__ import annotations

from collections import Counter

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.exchange.formats.base import Export, Exported, Format
from pipelines.exchange.rows import exported_label
from pipelines.exchange.write import write_csv, write_parquet

TITLE = "Flat CSV and Parquet"
EXCEL_MAX_ROWS = 1_048_575  # beside the header
DECIMALS = 6  # of probabilities
TIME = "yyyy-MM-dd HH:mm:ss"


def export(request: Export) -> Exported:
    """Write images.csv and images.parquet."""
    rows = flatten(request.rows)
    texts = [F.date_format(n, TIME).alias(n) if kind == "timestamp" else F.col(n) for n, kind in rows.dtypes]
    csv, parquet = request.folder / "images.csv", request.folder / "images.parquet"
    count = write_csv(rows.select(*texts), csv, bom=True, escapes_formulas=True)
    write_parquet(rows, parquet)
    notes = []
    if count > EXCEL_MAX_ROWS:
        notes.append(f"Excel shows the first {EXCEL_MAX_ROWS:,} rows of {csv.name}: filter, or use {parquet.name}.")
    return Exported([csv, parquet], Counter(images=count), notes=notes)


def flatten(rows: DataFrame) -> DataFrame:
    """Return the columns of the tables: values only, no maps or arrays.

    `label` is the label in force, which `irbis import` and `irbis run --labels` read again. `final_label` is this or,
    without one, the prediction.
    """
    path, model = F.col("relative_path"), F.concat_ws(" v", "model_name", "model_version")
    others = F.filter(F.map_entries("probabilities"), lambda each: each["key"] != F.col("image_prediction"))
    ranked = F.array_sort(F.transform(others, lambda each: F.struct((-each["value"]).alias("rank"), each["key"])))
    rows = rows.withColumn("ranked", ranked)
    score, image_score = (F.round(name, DECIMALS).alias(name) for name in ("score", "image_score"))
    is_predicted = F.col("label_source").isNull() & F.col("prediction").isNotNull()
    return rows.select(
        path.alias("path"),
        F.regexp_extract(path, "^(.*)/", 1).alias("folder"),
        F.regexp_extract(path, "([^/]*)$", 1).alias("file_name"),
        *("station", "camera", "captured_at", "burst_id", "group_id", "width", "height"),
        *("label", "label_source", "is_unknown", "reviewer", "reviewed_at", "comment"),
        *("prediction", score, "needs_review", "image_prediction", image_score),
        *_ranked(0, "second"),
        *_ranked(1, "third"),
        exported_label().alias("final_label"),
        F.when(is_predicted, "model").otherwise(F.col("label_source")).alias("final_source"),
        F.when(F.col("model_name").isNotNull(), model).alias("model"),
        *("scored_at", "failure", "content_hash"),
        F.col("path").alias("uri"),
    )


def _ranked(position: int, name: str) -> tuple[Column, Column]:
    """Return the label and the probability at a position after the image's own prediction."""
    entry = F.when(F.size("ranked") > position, F.col("ranked")[position])
    return entry["key"].alias(f"{name}_prediction"), F.round(-entry["rank"], DECIMALS).alias(f"{name}_score")


FORMAT = Format("flat", TITLE, export)

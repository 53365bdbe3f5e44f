"""Columns of a flat table: a value in each cell, no maps or arrays."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.exchange.rows import exported_label

DECIMALS = 6  # of probabilities
TIME = "yyyy-MM-dd HH:mm:ss"
MODEL = "model"  # value of final_source, beside those of label_source


def flatten(rows: DataFrame) -> DataFrame:
    """Return the columns of the flat table for rows of EXPORT_ROWS.

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
        F.when(is_predicted, MODEL).otherwise(F.col("label_source")).alias("final_source"),
        F.when(F.col("model_name").isNotNull(), model).alias("model"),
        *("scored_at", "failure", "content_hash"),
        F.col("path").alias("uri"),
    )


def with_time_texts(rows: DataFrame) -> DataFrame:
    """Return the rows with times as text, 2024-07-01 15:22:09."""
    return rows.select(*[F.date_format(n, TIME).alias(n) if kind == "timestamp" else n for n, kind in rows.dtypes])


def _ranked(position: int, name: str) -> tuple[Column, Column]:
    """Return the label and the probability at a position after the image's own prediction."""
    entry = F.when(F.size("ranked") > position, F.col("ranked")[position])
    return entry["key"].alias(f"{name}_prediction"), F.round(-entry["rank"], DECIMALS).alias(f"{name}_score")

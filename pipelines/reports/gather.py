"""Gather from the tables what the report shows: counts by Spark, and the few pictures that are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from pipelines.errors import ImageError
from pipelines.evaluation.split import conflicting_labels, labelled_pictures, split_of
from pipelines.images.thumbnails import data_uri, thumbnail
from pipelines.platform.tracking import ModelVersion
from pipelines.reports.contents import (
    Conflict,
    DataFacts,
    FailureCount,
    LabelCount,
    Picture,
    PredictionCount,
)
from pipelines.settings import Settings
from pipelines.storage.features import features_of
from pipelines.storage.tables import Tables

MOST_CONFLICTS = 20
PER_CLASS = 4


@dataclass(frozen=True)
class Gathered:
    """Hold the parts of ReportContents that come from the tables, and the number of files behind them."""

    parts: dict[str, Any]
    files: int


def gather(tables: Tables, settings: Settings, version: ModelVersion | None) -> Gathered:
    """Count and choose. Without a model only the data are told of."""
    images = _images(tables, settings, version.tags["backbone"] if version else "").cache()
    data = _data(tables, settings, images)
    parts: dict[str, Any] = {"data": data}
    if version is not None and tables.exists("predictions"):
        parts |= _predicted(tables, settings, images, version)
    images.unpersist()
    return Gathered(parts, data.files)


def _images(tables: Tables, settings: Settings, backbone: str) -> DataFrame:
    """Give the current images with their split (null: not learned from) and the failures of decoding."""
    current = tables.current_images()
    train = settings.train
    usable = labelled_pictures(current, train.exclude_labels).select(
        "path", split_of(F.col("group_id"), train.fractions, train.split_salt).alias("split")
    )
    decoded = features_of(tables, backbone).where("failure is not null")
    decoded = decoded.select("content_hash", F.struct("failure", "failure_detail").alias("decoding"))
    rows = current.join(usable, "path", "left").join(decoded, "content_hash", "left")
    return rows.withColumn("failure_detail", F.coalesce("failure_detail", "decoding.failure_detail")).withColumn(
        "failure", F.coalesce("failure", "decoding.failure")
    )


def _data(tables: Tables, settings: Settings, images: DataFrame) -> DataFacts:
    counts = images.agg(
        F.count("*").alias("files"),
        F.countDistinct("content_hash").alias("pictures"),
        F.count("label").alias("labelled"),
        F.count("content_hash").alias("fetched"),
        F.countDistinct("station").alias("stations"),
        F.countDistinct("burst_id").alias("bursts"),
        F.countDistinct("group_id").alias("groups"),
        F.min("captured_at").alias("first_capture"),
        F.max("captured_at").alias("last_capture"),
    ).first()
    values = counts.asDict()
    fetched = values.pop("fetched")
    return DataFacts(
        rows=tables.read("images").count(),
        duplicates=fetched - values["pictures"],
        labels=_labels(images),
        failures=_failures(images),
        conflicts=_conflicts(images),
        **values,
    )


def _labels(images: DataFrame) -> tuple[LabelCount, ...]:
    split = F.coalesce("split", F.lit("left_out"))
    counted = images.where("label is not null").groupBy("label", split.alias("split")).count().collect()
    by_label: dict[str, dict[str, int]] = {}
    for row in counted:
        by_label.setdefault(row["label"], {})[row["split"]] = row["count"]
    return tuple(LabelCount(label, **found) for label, found in sorted(by_label.items()))


def _failures(images: DataFrame) -> tuple[FailureCount, ...]:
    example = F.min(F.struct("path", "failure_detail")).alias("example")
    rows = images.where("failure is not null").groupBy("failure").agg(F.count("*").alias("count"), example)
    return tuple(
        FailureCount(row["failure"], row["count"], row["example"]["path"], row["example"]["failure_detail"] or "")
        for row in rows.orderBy(F.desc("count"), "failure").collect()
    )


def _conflicts(images: DataFrame) -> tuple[Conflict, ...]:
    hashes = conflicting_labels(images).orderBy("paths").limit(MOST_CONFLICTS).select("content_hash")
    rows = images.join(hashes, "content_hash", "left_semi").select("content_hash", "path", "label").collect()
    by_hash: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["path"]):
        by_hash.setdefault(row["content_hash"], []).append(row)
    return tuple(
        Conflict(tuple(row["path"] for row in same), tuple(row["label"] or "" for row in same))
        for same in by_hash.values()
    )


def _predicted(tables: Tables, settings: Settings, images: DataFrame, version: ModelVersion) -> dict[str, Any]:
    told = tables.read("predictions").where(F.col("scored_at") >= F.lit(version.made_at))  # older: of a namesake
    told = told.where((F.col("model_name") == version.name) & (F.col("model_version") == version.version))
    told = told.select("path", "content_hash", "prediction", "score", "burst_prediction", "burst_score", "needs_review")
    rows = told.join(images, ["path", "content_hash"]).where("prediction is not null").cache()
    galleries = _galleries(rows, settings.report.pictures)
    thumbnails = _thumbnails(tables, settings, [row for gallery in galleries.values() for row in gallery])
    shown = {name: tuple(_picture(row, thumbnails) for row in gallery) for name, gallery in galleries.items()}
    confident = {name.partition(":")[2]: found for name, found in shown.items() if name.startswith("confident:")}
    parts = {
        "predictions": _prediction_counts(rows),
        "scored_new": rows.where("label is null").count(),
        "most_wrong": shown["most_wrong"],
        "least_sure": shown["least_sure"],
        "confident": confident,
        "by_station": _by_station(rows),
        "by_hour": _by_hour(rows),
    }
    rows.unpersist()
    return parts


def _galleries(rows: DataFrame, size: int) -> dict[str, list[Row]]:
    """Choose pictures the model was not trained on: of the test split, or without a label."""
    unseen = rows.where("split = 'test' or split is null")
    wrong = unseen.where("split = 'test' and label <> prediction").orderBy(F.desc("score"), "path").limit(size)
    unsure = unseen.orderBy("score", "path").limit(size)
    galleries = {"most_wrong": wrong.collect(), "least_sure": unsure.collect()}
    for row in rows.select("prediction").distinct().orderBy("prediction").collect():
        best = unseen.where(F.col("prediction") == row[0]).orderBy(F.desc("score"), "path").limit(PER_CLASS)
        galleries[f"confident:{row[0]}"] = best.collect() if size else []
    return galleries


def _thumbnails(tables: Tables, settings: Settings, rows: list[Row]) -> dict[str, str | None]:
    """Read the bytes of the few pictures shown, one after the other, and make them small."""
    paths = sorted({row["path"] for row in rows})
    hashes = {row["content_hash"] for row in rows}
    if not paths:
        return {}
    found: dict[str, str | None] = {}
    contents = tables.read("images").where(F.col("path").isin(paths) & F.col("content_hash").isin(list(hashes)))
    for row in contents.select("path", "content").toLocalIterator():
        try:
            jpeg = thumbnail(bytes(row["content"]), side=320, max_pixels=settings.images.max_pixels)
            found[row["path"]] = data_uri(jpeg)
        except ImageError:
            found[row["path"]] = None  # the page shows the name in its place
    return found


def _picture(row: Row, thumbnails: dict[str, str | None]) -> Picture:
    is_outvoted = row["burst_prediction"] != row["prediction"]
    return Picture(
        path=row["path"],
        thumbnail=thumbnails.get(row["path"]),
        label=row["label"],
        prediction=row["prediction"],
        score=row["score"],
        station=row["station"],
        captured_at=row["captured_at"],
        note=f"its burst: {row['burst_prediction']} ({row['burst_score']:.0%})" if is_outvoted else "",
    )


def _prediction_counts(rows: DataFrame) -> tuple[PredictionCount, ...]:
    counted = rows.groupBy("prediction").agg(F.count("*"), F.sum(F.col("needs_review").cast("int")))
    return tuple(PredictionCount(*row) for row in counted.orderBy("prediction").collect())


def _by_station(rows: DataFrame) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    counted = rows.where("station is not null").groupBy("station", "burst_prediction").count()
    for station, label, count in counted.orderBy("station", "burst_prediction").collect():
        found.setdefault(station, {})[label] = count
    return found


def _by_hour(rows: DataFrame) -> dict[str, tuple[int, ...]]:
    hour = _hour(F.col("captured_at"))
    counted = rows.where("captured_at is not null").groupBy("burst_prediction", hour.alias("hour")).count().collect()
    found: dict[str, list[int]] = {}
    for label, at, count in sorted(counted):
        found.setdefault(label, [0] * 24)[at] = count
    return {label: tuple(counts) for label, counts in found.items()}


def _hour(time: Column) -> Column:
    """Give the hour on the camera's clock, which is kept as UTC, whatever the session's time zone."""
    return ((F.floor(time.cast("double") / 3600) % 24 + 24) % 24).cast("int")

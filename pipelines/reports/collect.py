"""Gather from the tables what the report shows: counts by Spark, and the few images that are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from pipelines.config.settings import Settings
from pipelines.errors import ImageError
from pipelines.evaluation.split import conflicting_labels
from pipelines.images.subprocess_decoder import SubprocessReader
from pipelines.images.thumbnails import make_thumbnail, to_data_uri
from pipelines.reports.contents import Conflict, DataSummary, FailureCount, ImageCard, LabelCount, PredictionCount
from pipelines.reports.frames import camera_hour, images_with_split, join_predictions
from pipelines.tracking.mlflow_client import ModelVersion
from pipelines.workspace.tables import Tables

MOST_CONFLICTS = 20
PER_CLASS = 4


@dataclass(frozen=True)
class ReportInputs:
    """Hold the parts of ReportContents that come from the tables, and the number of files behind them."""

    parts: dict[str, Any]
    files: int


def gather(tables: Tables, settings: Settings, version: ModelVersion | None) -> ReportInputs:
    """Count and choose. Without a model only the data are told of."""
    images = images_with_split(tables, settings, version).cache()
    data = _data(tables, settings, images)
    parts: dict[str, Any] = {"data": data}
    if version is not None and tables.exists("predictions"):
        parts |= _predicted(tables, settings, images, version)
    images.unpersist()
    return ReportInputs(parts, data.files)


def _data(tables: Tables, settings: Settings, images: DataFrame) -> DataSummary:
    counts = images.agg(
        F.count("*").alias("files"),
        F.countDistinct("content_hash").alias("images"),
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
    return DataSummary(
        rows=tables.read("images").count(),
        duplicates=fetched - values["images"],
        labels=_labels(images),
        failures=_failures(images),
        conflicts=conflicts(images),
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


def conflicts(images: DataFrame) -> tuple[Conflict, ...]:
    """Give identical bytes that have several labels, at most MOST_CONFLICTS."""
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
    rows = join_predictions(tables, images, version).where("prediction is not null").cache()
    galleries = _galleries(rows, settings.report.gallery_size)
    shown = load_gallery(tables, settings, galleries)
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
    """Choose images the model was not trained on: of the test split, or without a label."""
    unseen = rows.where("split = 'test' or split is null")
    wrong = unseen.where("split = 'test' and label <> prediction").orderBy(F.desc("score"), "path").limit(size)
    unsure = unseen.orderBy("score", "path").limit(size)
    galleries = {"most_wrong": wrong.collect(), "least_sure": unsure.collect()}
    for row in rows.select("prediction").distinct().orderBy("prediction").collect():
        best = unseen.where(F.col("prediction") == row[0]).orderBy(F.desc("score"), "path").limit(PER_CLASS)
        galleries[f"confident:{row[0]}"] = best.collect() if size else []
    return galleries


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
    hour = camera_hour(F.col("captured_at"))
    counted = rows.where("captured_at is not null").groupBy("burst_prediction", hour.alias("hour")).count().collect()
    found: dict[str, list[int]] = {}
    for label, at, count in sorted(counted):
        found.setdefault(label, [0] * 24)[at] = count
    return {label: tuple(counts) for label, counts in found.items()}


def load_gallery(
    tables: Tables, settings: Settings, galleries: Mapping[str, Sequence[Row]]
) -> dict[str, tuple[ImageCard, ...]]:
    """Give each gallery's rows of `path`, `content_hash` and what else is known of an image as images to look at."""
    thumbnails = _thumbnails(tables, settings, [row for gallery in galleries.values() for row in gallery])
    return {name: tuple(_image(row, thumbnails) for row in gallery) for name, gallery in galleries.items()}


def _thumbnails(tables: Tables, settings: Settings, rows: Sequence[Row]) -> dict[str, str | None]:
    """Read the bytes of the few images shown, one after the other, and make them small. By content_hash.

    Each is decoded in a child process: here nothing would be tried again. Those that have failed are not.
    """
    rows = [row for row in rows if not row.asDict().get("failure")]
    paths = sorted({row["path"] for row in rows})
    hashes = sorted({row["content_hash"] for row in rows if row["content_hash"]})
    if not hashes:
        return {}
    found: dict[str, str | None] = {}
    images = tables.read("images").where(F.col("content_hash").isin(hashes))
    holders = images.where(F.col("path").isin(paths)).select(F.coalesce("content_path", "path")).distinct().collect()
    contents = images.where(F.col("path").isin([row[0] for row in holders])).where("content is not null")
    small = partial(make_thumbnail, side=320, max_pixels=settings.images.max_pixels)
    with closing(SubprocessReader(small, settings.images.max_seconds)) as read:
        for row in contents.select("content_hash", "content").toLocalIterator():
            try:
                found[row["content_hash"]] = to_data_uri(read(bytes(row["content"])))
            except ImageError:
                found[row["content_hash"]] = None  # the page shows the name in its place
    return found


def _image(row: Row, thumbnails: Mapping[str, str | None]) -> ImageCard:
    known = row.asDict()
    return ImageCard(
        path=row["path"],
        thumbnail=thumbnails.get(row["content_hash"]),
        label=known.get("label"),
        prediction=known.get("prediction"),
        score=known.get("score"),
        station=known.get("station"),
        captured_at=known.get("captured_at"),
        note=_note(known),
    )


def _note(known: Mapping[str, object]) -> str:
    """Say what the burst says, where it says another thing; of an image that failed, why."""
    if failure := known.get("failure"):
        return str(failure)
    burst = known.get("burst_prediction")
    return f"its burst: {burst} ({known['burst_score']:.0%})" if burst != known.get("prediction") else ""

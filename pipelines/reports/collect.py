"""Collect what the report shows from the tables: counts, and the few images to display."""

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
from pipelines.workspace.labels import FROM_PERSON
from pipelines.workspace.tables import Tables

MAX_CONFLICTS = 20
IMAGES_PER_CLASS = 4


@dataclass(frozen=True)
class ReportInputs:
    """The fields of ReportContents that come from the tables, and the number of files they describe."""

    parts: dict[str, Any]
    files: int


def collect_inputs(tables: Tables, settings: Settings, version: ModelVersion | None) -> ReportInputs:
    """Return counts, and images to show. Without a model version, only the data summary."""
    images = images_with_split(tables, settings, version).cache()
    data = _summarize_data(tables, images)
    parts: dict[str, Any] = {"data": data}
    if version is not None and tables.exists("predictions"):
        parts |= _collect_predictions(tables, settings, images, version)
    images.unpersist()
    return ReportInputs(parts, data.files)


def _summarize_data(tables: Tables, images: DataFrame) -> DataSummary:
    is_of_person = F.col("label_source") == FROM_PERSON
    counts = images.agg(
        F.count("*").alias("files"),
        F.countDistinct("content_hash").alias("images"),
        F.count("label").alias("labelled"),
        F.count(F.when(is_of_person & F.col("label").isNotNull(), 1)).alias("labelled_by_people"),
        F.count(F.when(is_of_person & F.col("label").isNull(), 1)).alias("undecidable"),
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
        labels=_count_labels(images),
        failures=_count_failures(images),
        conflicts=find_conflicts(images),
        **values,
    )


def _count_labels(images: DataFrame) -> tuple[LabelCount, ...]:
    split = F.coalesce("split", F.lit("left_out"))
    counted = images.where("label is not null").groupBy("label", split.alias("split")).count().collect()
    by_label: dict[str, dict[str, int]] = {}
    for row in counted:
        by_label.setdefault(row["label"], {})[row["split"]] = row["count"]
    return tuple(LabelCount(label, **counts) for label, counts in sorted(by_label.items()))


def _count_failures(images: DataFrame) -> tuple[FailureCount, ...]:
    example = F.min(F.struct("path", "failure_detail")).alias("example")
    rows = images.where("failure is not null").groupBy("failure").agg(F.count("*").alias("count"), example)
    return tuple(
        FailureCount(row["failure"], row["count"], row["example"]["path"], row["example"]["failure_detail"] or "")
        for row in rows.orderBy(F.desc("count"), "failure").collect()
    )


def find_conflicts(images: DataFrame) -> tuple[Conflict, ...]:
    """Return up to MAX_CONFLICTS identical images that have several labels."""
    hashes = conflicting_labels(images).orderBy("paths").limit(MAX_CONFLICTS).select("content_hash")
    rows = images.join(hashes, "content_hash", "left_semi").select("content_hash", "path", "label").collect()
    by_hash: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["path"]):
        by_hash.setdefault(row["content_hash"], []).append(row)
    return tuple(
        Conflict(tuple(row["path"] for row in same), tuple(row["label"] or "" for row in same))
        for same in by_hash.values()
    )


def _collect_predictions(
    tables: Tables, settings: Settings, images: DataFrame, version: ModelVersion
) -> dict[str, Any]:
    rows = join_predictions(tables, images, version).where("prediction is not null").cache()
    galleries = _select_galleries(rows, settings.report.gallery_size)
    shown = load_gallery(tables, settings, galleries)
    confident = {name.partition(":")[2]: cards for name, cards in shown.items() if name.startswith("confident:")}
    parts = {
        "predictions": _count_predictions(rows),
        "scored_new": rows.where("label is null").count(),
        "most_wrong": shown["most_wrong"],
        "least_confident": shown["least_confident"],
        "most_confident": confident,
        "by_station": _count_by_station(rows),
        "by_hour": _count_by_hour(rows),
    }
    rows.unpersist()
    return parts


def _select_galleries(rows: DataFrame, size: int) -> dict[str, list[Row]]:
    """Select images that the model was not trained on: those of the test split, or without a label."""
    unseen = rows.where("split = 'test' or split is null")
    wrong = unseen.where("split = 'test' and label <> prediction").orderBy(F.desc("score"), "path").limit(size)
    uncertain = unseen.orderBy("score", "path").limit(size)
    galleries = {"most_wrong": wrong.collect(), "least_confident": uncertain.collect()}
    for row in rows.select("prediction").distinct().orderBy("prediction").collect():
        best = unseen.where(F.col("prediction") == row[0]).orderBy(F.desc("score"), "path").limit(IMAGES_PER_CLASS)
        galleries[f"confident:{row[0]}"] = best.collect() if size else []
    return galleries


def _count_predictions(rows: DataFrame) -> tuple[PredictionCount, ...]:
    counted = rows.groupBy("prediction").agg(F.count("*"), F.sum(F.col("needs_review").cast("int")))
    return tuple(PredictionCount(*row) for row in counted.orderBy("prediction").collect())


def _count_by_station(rows: DataFrame) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    counted = rows.where("station is not null").groupBy("station", "burst_prediction").count()
    for station, label, count in counted.orderBy("station", "burst_prediction").collect():
        counts.setdefault(station, {})[label] = count
    return counts


def _count_by_hour(rows: DataFrame) -> dict[str, tuple[int, ...]]:
    hour = camera_hour(F.col("captured_at"))
    counted = rows.where("captured_at is not null").groupBy("burst_prediction", hour.alias("hour")).count().collect()
    counts: dict[str, list[int]] = {}
    for label, at, count in sorted(counted):
        counts.setdefault(label, [0] * 24)[at] = count
    return {label: tuple(hours) for label, hours in counts.items()}


def load_gallery(
    tables: Tables, settings: Settings, galleries: Mapping[str, Sequence[Row]]
) -> dict[str, tuple[ImageCard, ...]]:
    """Return the images of each gallery, from rows with `path`, `content_hash` and any other fields of ImageCard."""
    thumbnails = _load_thumbnails(tables, settings, [row for gallery in galleries.values() for row in gallery])
    return {name: tuple(_image_card(row, thumbnails) for row in gallery) for name, gallery in galleries.items()}


def _load_thumbnails(tables: Tables, settings: Settings, rows: Sequence[Row]) -> dict[str, str | None]:
    """Return data URIs of thumbnails by content_hash; None for an image that cannot be decoded.

    Each image is decoded in a child process, because no Spark task retries a crash here. Failed images are skipped.
    """
    rows = [row for row in rows if not row.asDict().get("failure")]
    paths = sorted({row["path"] for row in rows})
    hashes = sorted({row["content_hash"] for row in rows if row["content_hash"]})
    if not hashes:
        return {}
    uris: dict[str, str | None] = {}
    images = tables.read("images").where(F.col("content_hash").isin(hashes))
    holders = images.where(F.col("path").isin(paths)).select(F.coalesce("content_path", "path")).distinct().collect()
    contents = images.where(F.col("path").isin([row[0] for row in holders])).where("content is not null")
    small = partial(make_thumbnail, side=320, max_pixels=settings.images.max_pixels)
    with closing(SubprocessReader(small, settings.images.max_seconds)) as read:
        for row in contents.select("content_hash", "content").toLocalIterator():
            try:
                uris[row["content_hash"]] = to_data_uri(read(bytes(row["content"])))
            except ImageError:
                uris[row["content_hash"]] = None  # the page shows the file name instead
    return uris


def _image_card(row: Row, thumbnails: Mapping[str, str | None]) -> ImageCard:
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
    """Return the failure, or the burst's prediction if it differs from the image's."""
    if failure := known.get("failure"):
        return str(failure)
    burst = known.get("burst_prediction")
    return f"its burst: {burst} ({known['burst_score']:.0%})" if burst != known.get("prediction") else ""

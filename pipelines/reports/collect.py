"""Collect what the report shows from the tables: counts, and the few images to display."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pyspark.sql import DataFrame, Row, Window
from pyspark.sql import functions as F

from pipelines.config.settings import Settings
from pipelines.errors import ImageError
from pipelines.evaluation.split import conflicting_labels
from pipelines.images.subprocess_decoder import SubprocessReader
from pipelines.images.thumbnails import data_uri_aspect, make_thumbnail, to_data_uri
from pipelines.reports.attention import read_attention
from pipelines.reports.contents import (
    AttentionBox,
    Conflict,
    DataSummary,
    FailureCount,
    ImageCard,
    LabelCount,
    PredictionCount,
)
from pipelines.reports.frames import camera_hour, images_with_split, join_predictions
from pipelines.spark.queries import run_together
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
    queries: list[Callable[[], Any]] = [partial(_summarize_data, tables, images)]
    if version is not None and tables.exists("predictions"):
        queries.append(partial(_collect_predictions, tables, settings, images, version))
    data, *predictions = run_together(*queries)
    images.unpersist()
    return ReportInputs({"data": data, **(predictions[0] if predictions else {})}, data.files)


def _summarize_data(tables: Tables, images: DataFrame) -> DataSummary:
    is_of_person = F.col("label_source") == FROM_PERSON
    totals = images.agg(
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
    )
    counts, rows, labels, failures, conflicts = run_together(
        totals.first,
        tables.read("images").count,
        partial(_count_labels, images),
        partial(_count_failures, images),
        partial(find_conflicts, images),
    )
    values = counts.asDict()
    duplicates = values.pop("fetched") - values["images"]
    return DataSummary(
        rows=rows, duplicates=duplicates, labels=labels, failures=failures, conflicts=conflicts, **values
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
    shown, predictions, scored_new, by_station, by_hour = run_together(
        lambda: load_gallery(tables, settings, _select_galleries(rows, settings.report.gallery_size)),
        partial(_count_predictions, rows),
        rows.where("label is null").count,
        partial(_count_by_station, rows),
        partial(_count_by_hour, rows),
    )
    confident = {each.label: shown.get(f"confident:{each.label}", ()) for each in predictions}
    parts = {
        "predictions": predictions,
        "scored_new": scored_new,
        "most_wrong": shown["most_wrong"],
        "least_confident": shown["least_confident"],
        "most_confident": confident,
        "by_station": by_station,
        "by_hour": by_hour,
    }
    rows.unpersist()
    return parts


def _select_galleries(rows: DataFrame, size: int) -> dict[str, list[Row]]:
    """Select images that the model was not trained on: those of the test split, or without a label."""
    unseen = rows.where("split = 'test' or split is null")
    wrong = unseen.where("split = 'test' and label <> prediction").orderBy(F.desc("score"), "path").limit(size)
    uncertain = unseen.orderBy("score", "path").limit(size)
    most_wrong, least_confident, best = run_together(wrong.collect, uncertain.collect, partial(_most_confident, unseen))
    galleries = {"most_wrong": most_wrong, "least_confident": least_confident}
    for prediction, images in sorted(best.items()):
        galleries[f"confident:{prediction}"] = images if size else []
    return galleries


def _most_confident(images: DataFrame) -> dict[str, list[Row]]:
    """Return the images with the highest scores of each prediction."""
    order = Window.partitionBy("prediction").orderBy(F.desc("score"), "path")
    ranked = images.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= IMAGES_PER_CLASS)
    best: dict[str, list[Row]] = {}
    for row in ranked.orderBy("prediction", "rank").drop("rank").collect():
        best.setdefault(row["prediction"], []).append(row)
    return best


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
    rows = [row for gallery in galleries.values() for row in gallery]
    thumbnails = _load_thumbnails(tables, settings, rows)
    boxes = read_attention(tables, settings, {row["content_hash"] for row in rows if row["content_hash"]})
    return {name: tuple(_image_card(row, thumbnails, boxes) for row in gallery) for name, gallery in galleries.items()}


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


def _image_card(row: Row, thumbnails: Mapping[str, str | None], boxes: Mapping[str, AttentionBox]) -> ImageCard:
    known = row.asDict()
    thumbnail, box = thumbnails.get(row["content_hash"]), boxes.get(row["content_hash"])
    return ImageCard(
        path=row["path"],
        thumbnail=thumbnail,
        label=known.get("label"),
        prediction=known.get("prediction"),
        score=known.get("score"),
        station=known.get("station"),
        captured_at=known.get("captured_at"),
        note=_note(known),
        box=replace(box, aspect=data_uri_aspect(thumbnail)) if box and thumbnail else None,
    )


def _note(known: Mapping[str, object]) -> str:
    """Return the failure, or the burst's prediction if it differs from the image's."""
    if failure := known.get("failure"):
        return str(failure)
    burst = known.get("burst_prediction")
    return f"its burst: {burst} ({known['burst_score']:.0%})" if burst != known.get("prediction") else ""

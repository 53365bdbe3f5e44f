"""Locate the crops of images that lack them, and append them to the table regions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from functools import partial
from typing import Any

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.config.settings import Images, Settings
from pipelines.feature_ids import is_detection, is_statistics
from pipelines.formatting import pluralize
from pipelines.images.subprocess_decoder import time_limited_reader
from pipelines.localisation.arrow import (
    REGIONS_DDL,
    THUMBNAILS_DDL,
    UNREADABLE,
    ThumbnailReader,
    motion_batches,
    square_batches,
    thumbnail_batches,
)
from pipelines.progress import progress
from pipelines.spark.image_batches import image_batches, rows_per_batch
from pipelines.stages.featurize.detected_boxes import detected_boxes
from pipelines.stages.featurize.windows import camera_windows, images_to_locate
from pipelines.workspace.free_space import require_free_space
from pipelines.workspace.hold import pin_table
from pipelines.workspace.regions import read_regions
from pipelines.workspace.tables import ROW_KEY, Tables, content_ingested_at

ROW_BYTES = 200  # of a row of regions, before compression
NO_STATION, NO_DETECTION = "no_station", "no_detection"  # fallbacks


def locate(tables: Tables, settings: Settings, pending: DataFrame, views: list[str]) -> None:
    """Append a region for every readable pending image and view that lacks one.

    `pending`: materialized rows of `images_to_featurize`. `views`: keys of the table regions. The images of a window
    are located and committed together, so that a killed and repeated run finds the same crops.
    """
    pin_table(tables, settings, "regions")
    for view in views:
        located = read_regions(tables, view)
        if is_detection(view):
            _locate_detections(tables, settings.images, pending, located, view)
        else:
            _locate_motion(tables, settings, pending, located, view)


def fallback_notes(pending: DataFrame, views: list[str]) -> list[str]:
    """Return a sentence for each view that shows the whole image, or has no statistics, of some pending images."""
    notes = []
    for view in views:
        fallback = F.col("regions")[view]["fallback"].alias("fallback")
        counted = pending.where("failure is null").groupBy(fallback).count().orderBy(F.desc("count"), "fallback")
        counts = {row["fallback"]: row["count"] for row in counted.collect() if row["fallback"]}
        if counts:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
            shows = "has no background for" if is_statistics(view) else "shows the whole image of"
            notes.append(f"{view} {shows} {pluralize(sum(counts.values()), 'image')}: {reasons}.")
    return notes


def _locate_motion(tables: Tables, settings: Settings, pending: DataFrame, located: DataFrame, view: str) -> None:
    known = located.where(F.coalesce("fallback", F.lit("")) != UNREADABLE).select("content_hash")
    new = tables.materialize(images_to_locate(pending, view).join(known, "content_hash", "left_anti"))
    if not new.head(1):
        return
    now = datetime.now(timezone.utc)
    placed = tables.materialize(camera_windows(tables, new, settings.featurize.images_per_commit))
    unplaced = new.select("content_hash").join(placed.where("is_new"), "content_hash", "left_anti")
    if unplaced.head(1):
        _append(tables, unplaced.withColumn("fallback", F.lit(NO_STATION)), view, now)
    measures = F.count("*").alias("count"), F.sum("size").alias("size"), F.max("size").alias("largest")
    chunks = placed.groupBy("chunk").agg(*measures, F.min(content_ingested_at()).alias("since"))
    for chunk in chunks.orderBy("chunk").collect():  # one row per commit
        require_free_space(tables, chunk["count"] * ROW_BYTES, "The next commit of regions")
        with image_batches(tables.spark, rows_per_batch(chunk["count"], chunk["size"], chunk["largest"])):
            rows = placed.where(F.col("chunk") == chunk["chunk"])
            _append_chunk(tables, settings.images, rows, chunk, view, now)


def _append_chunk(tables: Tables, images: Images, rows: DataFrame, chunk: Any, view: str, now: datetime) -> None:
    """Locate and commit the motion in the images of a chunk of windows; only thumbnails are shuffled."""
    done = tables.spark.sparkContext.accumulator(0)
    read, max_seconds, crop_bottom = (
        ThumbnailReader(images.max_pixels, images.crop_bottom),
        images.max_seconds,
        images.crop_bottom,
    )

    def read_partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        task = TaskContext.get()
        with time_limited_reader(read, max_seconds, task.attemptNumber() if task else None) as bounded:
            yield from thumbnail_batches(batches, bounded, done.add)

    columns = ["camera_key", "window", "content_hash", "is_new", "width", "height", "content"]
    with progress("locate", chunk["count"], lambda: done.value):
        contents = tables.with_content(rows, chunk["since"]).select(*columns)
        thumbnails = contents.mapInArrow(read_partition, THUMBNAILS_DDL)
        windows = thumbnails.repartition("camera_key", "window").sortWithinPartitions("camera_key", "window")
        find = partial(motion_batches, crop_bottom=crop_bottom, statistics=is_statistics(view))
        regions = windows.mapInArrow(find, REGIONS_DDL)
        _append(tables, regions, view, now)


def _locate_detections(tables: Tables, images: Images, pending: DataFrame, located: DataFrame, view: str) -> None:
    """Append the crops of images without any, or without those of their newest detections."""
    now = datetime.now(timezone.utc)
    boxes = detected_boxes(tables)
    rows = images_to_locate(pending, view).join(boxes, "content_hash", "left")
    known = located.select("content_hash", F.col("detections_at").alias("known_at"), F.lit(True).alias("is_known"))
    rows = rows.join(known, "content_hash", "left")
    rows = rows.where(F.col("is_known").isNull() | ~F.col("detections_at").eqNullSafe(F.col("known_at")))
    sizes = tables.read("images").select(*ROW_KEY, F.col("width").alias("pixels_wide"), F.col("height").alias("high"))
    rows = tables.materialize(rows.drop("is_known", "known_at").join(sizes, ROW_KEY))
    if not (count := rows.count()):
        return
    require_free_space(tables, count * ROW_BYTES, "The commit of regions")
    found = rows.where("box is not null")
    boxed = found.select("content_hash", "box", F.col("pixels_wide").alias("width"), F.col("high").alias("height"))
    squares = boxed.mapInArrow(partial(square_batches, crop_bottom=images.crop_bottom), REGIONS_DDL)
    regions = squares.join(found.select("content_hash", "detections_at"), "content_hash")
    without = rows.where("box is null").select("content_hash", "detections_at")
    without = without.withColumn("fallback", F.lit(NO_DETECTION))
    _append(tables, regions.unionByName(without, allowMissingColumns=True), view, now)


def _append(tables: Tables, rows: DataFrame, view: str, now: datetime) -> None:
    """Append rows of regions; columns that they lack are null."""
    rows = rows.withColumn("view", F.lit(view)).withColumn("located_at", F.lit(now))
    tables.append("regions", tables.with_null_columns("regions", rows))

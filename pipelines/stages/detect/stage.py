"""Detect: run an object detector that the user brings on images, and append its boxes to the table detections.

Only on images without boxes of this file and these settings. Decoding and the network run in one function on the
executors, on CPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.config.settings import Detect, Images, Settings
from pipelines.engines.arrow import freeze_gc
from pipelines.engines.detector import Detector, engine_of, load_detector, require_detector_file
from pipelines.engines.graph import Graph
from pipelines.errors import SettingsError
from pipelines.formatting import pluralize
from pipelines.images.subprocess_decoder import time_limited_reader
from pipelines.localisation.detector_outputs import Detection
from pipelines.localisation.letterbox import Letterbox, Pixels
from pipelines.progress import progress
from pipelines.spark.image_batches import image_batches, rows_per_batch
from pipelines.spark.session import task_threads
from pipelines.stages.detect.batches import DETECTIONS_DDL, NOTHING, LetterboxReader, detect_batches
from pipelines.stages.detect.pending import count_overridden, images_to_detect
from pipelines.stages.quarantine import quarantine_notes
from pipelines.stages.result import StageResult, Stopwatch
from pipelines.workspace.chunks import split_into_chunks
from pipelines.workspace.free_space import require_free_space
from pipelines.workspace.hold import pin_table
from pipelines.workspace.tables import Tables, content_ingested_at, count_failures

ROW_BYTES = 400  # of an image, before compression
SOURCE = "detect"  # in the table detections


def detect(
    images: DataFrame, detector: Detector, options: Detect, limits: Images, count: Callable[[int], None] | None = None
) -> DataFrame:
    """Return content_hash, path, number, category, score, the box and failures for rows of content_hash, path, content.

    An image in which the detector finds nothing, or with a failure, has one row, whose number is -1. `count(done)` is
    called on executors after each batch.
    """
    spark = images.sparkSession
    shared, threads = spark.sparkContext.broadcast(detector), task_threads(spark)
    light = replace(detector, graph=Graph(b"", b""))
    read = LetterboxReader(light.width, light.height, limits.max_pixels)
    max_seconds, threshold, categories = limits.max_seconds, options.threshold, category_names(options)

    def find(pixels: Pixels, place: Letterbox) -> list[Detection]:
        assert light.layout is not None
        engine = engine_of(light, lambda: shared.value, threads)
        return light.layout.detect(engine(pixels), (light.width, light.height), place, threshold)

    def detect_partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        task = TaskContext.get()
        if task:
            freeze_gc()
        with time_limited_reader(read, max_seconds, task.attemptNumber() if task else None) as bounded:
            yield from detect_batches(batches, bounded, find, categories, count)

    return images.select("content_hash", "path", "content").mapInArrow(detect_partition, DETECTIONS_DDL)


def prepare(settings: Settings) -> None:
    """Read the detector and run it once, so that what is wrong with it is said early."""
    _load(settings.detect)


def run(spark: SparkSession, settings: Settings) -> StageResult:
    """Detect in the current images that lack detections of this detector, and commit chunk by chunk."""
    clock, tables, options = Stopwatch(), Tables.of(spark, settings), settings.detect
    detector = _load(options)
    tables.require("images")
    pin_table(tables, settings, "detections")
    rule = detection_rule(detector, options)
    name = f"{Path(options.detector or '').name} ({rule})"
    pending = tables.materialize(images_to_detect(tables, detector.sha256, rule))
    readable = F.when(F.col("failure").isNull(), F.col("size"))
    measures = F.count("*"), F.sum(readable), F.max(readable), F.min(content_ingested_at())
    total, size, largest, since = pending.agg(*measures).first()
    now = datetime.now(timezone.utc)
    job = _Job(tables, settings, detector, name, now)
    with image_batches(spark, rows_per_batch(total, size or 0, largest or 1)):
        for chunk, count in split_into_chunks(pending, total, options.images_per_commit, "ingested_at", "path"):
            require_free_space(tables, count * ROW_BYTES, f"The next commit ({pluralize(count, 'image')})")
            job.commit(chunk, count, since)
    rows = tables.read("detections").where((F.col("imported_at") == F.lit(now)) & (F.col("source") == SOURCE))
    failures = count_failures(rows)
    failed = rows.where("failure is not null").select("content_hash", "path", "failure", "failure_detail")
    unread = pending.where("failure is not null").select("content_hash")
    notes = quarantine_notes(failed.join(unread, "content_hash", "left_anti"))
    if overridden := count_overridden(tables, detector.sha256, rule):
        notes.append(f"{pluralize(overridden, 'image')} of this detector have newer detections, which stay in force.")
    found = rows.where(F.col("number") > NOTHING)
    boxes, images = found.agg(F.count("*"), F.countDistinct("content_hash")).first()
    outcome = f"{pluralize(boxes, 'box', 'boxes')} in {pluralize(images, 'image')}, by {name}"
    written = total - sum(failures.values())
    return StageResult("detect", total, written, failures, clock.seconds, tuple(notes), outcome)


def category_names(options: Detect) -> list[str]:
    """Return the category of each of the detector's classes. Raises SettingsError for categories of no class."""
    classes = options.classes
    if unknown := [name for name in options.categories if name not in classes]:
        raise SettingsError(
            f"detect.categories names {', '.join(unknown)}, which is not among detect.classes: {', '.join(classes)}."
        )
    if repeated := [name for name in dict.fromkeys(classes) if classes.count(name) > 1]:
        raise SettingsError(f"detect.classes names {', '.join(repeated)} twice. Name each class once, in order.")
    return [str(options.categories.get(name, name)) for name in classes]


def detection_rule(detector: Detector, options: Detect) -> str:
    """Return a text that changes with every setting that the boxes depend on."""
    assert detector.layout is not None
    size, form = f"{detector.width} x {detector.height}", detector.layout.form
    return f"{size}, {form}, from {options.threshold:g}: {', '.join(category_names(options))}"


@dataclass(frozen=True)
class _Job:
    """What all chunks of a run share."""

    tables: Tables
    settings: Settings
    detector: Detector
    name: str
    now: datetime

    def commit(self, chunk: DataFrame, total: int, since: datetime) -> None:
        """Compute and commit one chunk; images that ingest could not read are not decoded again."""
        tables, options = self.tables, self.settings.detect
        done = tables.spark.sparkContext.accumulator(0)
        with progress("detect", total, lambda: done.value):
            readable = tables.with_content(chunk.where("failure is null"), since)
            rows = detect(readable, self.detector, options, self.settings.images, done.add)
            unread = chunk.where("failure is not null").select("content_hash", "path", "failure", "failure_detail")
            rows = rows.unionByName(unread.withColumn("number", F.lit(NOTHING)), allowMissingColumns=True)
            values: dict[str, Any] = {"detector": self.name, "source": SOURCE, "file_sha256": self.detector.sha256}
            values |= {"file": Path(options.detector or "").name, "imported_at": self.now}
            for column, value in values.items():
                rows = rows.withColumn(column, F.lit(value))
            tables.append("detections", tables.with_null_columns("detections", rows))


def _load(options: Detect) -> Detector:
    """Return the detector of the settings, read once for each state of its file."""
    path = require_detector_file(options.detector)
    category_names(options)
    status = path.stat()
    key = str(path), options.input_size, len(options.classes), options.output
    return _load_file(*key, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1)
def _load_file(path: str, input_size: int | None, classes: int, output: str, *state: int) -> Detector:
    return load_detector(path, input_size, classes, output)  # type: ignore[arg-type]

"""Explain: compute where the model looks in images, and append a box for each to the table boxes.

Only for images that are asked for, by default those that need review: it costs about as much as featurize. Decoding,
the forward pass and the maps run in one function on the executors; maps are not stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.config.settings import Featurize, Settings
from pipelines.engines import require_packages
from pipelines.engines.arrow import freeze_gc
from pipelines.formatting import pluralize
from pipelines.images.subprocess_decoder import time_limited_reader
from pipelines.progress import progress
from pipelines.spark.image_batches import image_batches, rows_per_batch
from pipelines.spark.session import task_threads
from pipelines.stages.broadcast_engine import assigned_gpus, broadcast_engine
from pipelines.stages.explain.batches import BOXES_DDL, explain_batches
from pipelines.stages.explain.explainer import Explainer, Item, Result, load_inputs
from pipelines.stages.explain.model import build_explainer
from pipelines.stages.explain.pending import KEYS, add_crops, images_to_explain
from pipelines.stages.result import StageResult, Stopwatch
from pipelines.tracking.mlflow_client import ModelVersion, Tracking
from pipelines.workspace.chunks import split_into_chunks
from pipelines.workspace.free_space import require_free_space
from pipelines.workspace.hold import pin_table
from pipelines.workspace.tables import Tables, content_ingested_at, count_failures

ROW_BYTES = 400
RunFn = Callable[[Iterable[Item]], Iterator[Result]]


def explain(images: DataFrame, explainer: Explainer, options: Featurize) -> DataFrame:
    """Return content_hash, path, label, the box, its peak and failures for images, one row for each.

    Their columns: content_hash, path, scores, the probabilities in the order of the explainer's classes, content and,
    if the explainer has views, boxes (see `add_crops`). `options` choose the engine.
    """
    if "boxes" not in images.columns:
        images = add_crops(images, None, ())
    run = _make_runner(images.sparkSession, explainer, options)
    return _compute_boxes(images, explainer.without_weights(), run, None)


def prepare(settings: Settings) -> None:
    """Connect to MLflow."""
    Tracking.of(settings)


def run(
    spark: SparkSession, settings: Settings, selection: DataFrame | None = None, *, needs_review: bool = True
) -> StageResult:
    """Explain the images of `selection` (path, content_hash; null: all) that lack a row for the model version.

    With `needs_review`, only those among them that need review. Raises ModelError if the version's features have no
    maps.
    """
    clock, tables, tracking = Stopwatch(), Tables.of(spark, settings), Tracking.of(settings)
    require_packages(settings)
    version = tracking.get_version(settings.score.model_version)
    tables.require("predictions")
    pin_table(tables, settings, "boxes")
    pending = tables.materialize(images_to_explain(tables, version, selection, needs_review=needs_review))
    counts = _Counts(*pending.agg(*_Counts.columns()).first())
    if not counts.images:
        return StageResult("explain", seconds=clock.seconds, outcome=f"with {version}")
    explainer, notes = build_explainer(tables, settings, tracking, version)
    pending = add_crops(pending, tables, explainer.views)
    if explainer.views:  # crops are looked up once, not for each chunk
        pending = tables.materialize(pending)
    now = datetime.now(timezone.utc)
    job = _Job(tables, explainer.without_weights(), _make_runner(spark, explainer, settings.featurize), version, now)
    with image_batches(spark, rows_per_batch(counts.images, counts.size, counts.largest)):
        per_commit = settings.featurize.images_per_commit
        for chunk, count in split_into_chunks(pending, counts.images, per_commit, "ingested_at", "path"):
            replaced = tables.bytes_on_disk("boxes") if counts.replaced else 0  # an upsert may rewrite all
            require_free_space(tables, count * ROW_BYTES + replaced, f"The next commit ({pluralize(count, 'image')})")
            job.commit(chunk, count, counts)
    failures = count_failures(tables.read("boxes").where(F.col("explained_at") == F.lit(now)))
    written = counts.images - sum(failures.values())
    outcome = f"with {version}, {explainer.method}"
    return StageResult("explain", counts.images, written, failures, clock.seconds, tuple(notes), outcome)


@dataclass(frozen=True)
class _Counts:
    """Numbers of the pending images: all, those that replace a row, and their bytes."""

    images: int
    replaced: int
    size: int | None
    largest: int | None
    since: datetime | None

    @staticmethod
    def columns() -> list[Any]:
        readable = F.when(F.col("failure").isNull(), F.col("size"))
        replaced = F.count(F.when(F.col("is_replaced"), 1))
        return [F.count("*"), replaced, F.sum(readable), F.max(readable), F.min(content_ingested_at())]


@dataclass(frozen=True)
class _Job:
    """What all chunks of a run share."""

    tables: Tables
    explainer: Explainer
    run: RunFn
    version: ModelVersion
    now: datetime

    def commit(self, chunk: DataFrame, total: int, counts: _Counts) -> None:
        """Compute and commit one chunk; images that could not be read before are not decoded again."""
        assert counts.since is not None
        done = self.tables.spark.sparkContext.accumulator(0)
        with progress("explain", total, lambda: done.value):
            readable = self.tables.with_content(chunk.where("failure is null"), counts.since)
            rows = _compute_boxes(readable, self.explainer, self.run, done.add)
            failed = chunk.where("failure is not null").select("content_hash", "path", "failure", "failure_detail")
            rows = rows.unionByName(failed, allowMissingColumns=True)
            is_explained = F.col("failure").isNull()
            rows = (
                rows.withColumn("model_name", F.lit(self.version.name))
                .withColumn("model_version", F.lit(self.version.version))
                .withColumn("method", F.when(is_explained, F.lit(self.explainer.method)))
                .withColumn("explained_at", F.lit(self.now))
            )
            if counts.replaced and chunk.where("is_replaced").head(1):
                self.tables.upsert("boxes", rows, KEYS)
            else:
                self.tables.append("boxes", rows)


def _compute_boxes(
    images: DataFrame, explainer: Explainer, run: RunFn, count: Callable[[int], None] | None
) -> DataFrame:
    classes = explainer.classes  # the explainer itself would travel with every task

    def explain_partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return explain_batches(batches, classes, run, count)

    return images.select(*Item._fields).mapInArrow(explain_partition, BOXES_DDL)


def _make_runner(spark: SparkSession, explainer: Explainer, options: Featurize) -> RunFn:
    """Return the function that explains images on the executors; weights or converted networks are broadcast."""
    chosen = (options.engine, options.device, options.weights_cache)
    factories = [broadcast_engine(spark, backbone, *chosen) for backbone in explainer.backbones]
    light = explainer.without_weights()
    directions = spark.sparkContext.broadcast(light.directions)
    light = light.with_directions(np.empty((0, 0), np.float32))
    threads, device, batch = task_threads(spark), options.device, options.batch_size or 0

    def run(items: Iterable[Item]) -> Iterator[Result]:
        task = TaskContext.get()
        gpus = assigned_gpus()
        engines = [make().get_with_maps(device, gpus=gpus, threads=threads, batch=batch) for make in factories]
        if task:
            freeze_gc()
        decode_threads = threads if engines[0].max_concurrent_calls > 1 else 0
        load = partial(load_inputs, light.backbones)
        max_seconds, attempt = light.backbones[0].max_seconds, task.attemptNumber() if task else None
        whole = light.with_directions(directions.value)
        with time_limited_reader(load, max_seconds, attempt) as read:
            yield from whole.explain(items, engines, read, decode_threads=decode_threads)

    return run

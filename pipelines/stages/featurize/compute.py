"""Compute features on the executors: rows of images in, rows of the table features out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.backbones import Backbone, Embedding
from pipelines.backbones.views import ViewReader
from pipelines.config.settings import EngineName
from pipelines.engines.arrow import (
    BOXES_PREFIX,
    FALLBACKS,
    FALLBACKS_DDL,
    FEATURES_DDL,
    EmbedFn,
    Item,
    ViewSpec,
    embed_batches,
    freeze_gc,
    with_views,
)
from pipelines.feature_ids import region_view
from pipelines.images.subprocess_decoder import time_limited_reader
from pipelines.spark.session import task_threads
from pipelines.stages.broadcast_engine import assigned_gpus, broadcast_engine


def make_embedder(
    spark: SparkSession,
    backbone: Backbone,
    engine: EngineName,
    device: str,
    batch_size: int | None,
    cache: str,
    crops: Sequence[str | None] = (None,),
    view_specs: Sequence[ViewSpec] = ((0, False),),
) -> EmbedFn:
    """Return the function that embeds images on the executors; weights or the converted network are broadcast.

    `crops`: what is cut from each image, None for the whole image; with any other crop the function takes
    CroppedImages. `view_specs`: for each view of an image, its crop and whether it is flipped.
    """
    make_factory = broadcast_engine(spark, backbone, engine, device, cache)
    light, threads = backbone.without_weights(), task_threads(spark)
    load = light.load_pixels if list(crops) == [None] else ViewReader(light)

    def embed(images: Iterable[Item]) -> Iterator[Embedding]:
        task = TaskContext.get()
        engine = make_factory().get(device, gpus=assigned_gpus(), threads=threads, batch=batch_size or 0)
        if task:
            freeze_gc()
        # On a GPU the task's cores are free to decode; on a CPU they compute.
        decode_threads = threads if engine.max_concurrent_calls > 1 else 0
        with time_limited_reader(load, light.max_seconds, task.attemptNumber() if task else None) as read:
            network = with_views(engine, view_specs)
            yield from light.embed(images, network, batch=engine.batch, decode_threads=decode_threads, read=read)

    return embed


def compute_features(
    images: DataFrame,
    views: Sequence[str],
    embed: EmbedFn,
    count: Callable[[int, int], None] | None = None,
    crops: Sequence[str | None] = (None,),
) -> DataFrame:
    """Return the rows of `featurize`, one per view. `count(done, failed)` is called on executors after each batch.

    With other crops than the whole image, the rows of images have `regions` (see `workspace.regions.add_regions`).
    """

    def embed_partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return embed_batches(batches, embed, count)

    if list(crops) == [None]:
        rows = images.select("content_hash", "content").mapInArrow(embed_partition, FEATURES_DDL)
    else:
        boxes = [_box(crop).alias(f"{BOXES_PREFIX}{i}") for i, crop in enumerate(crops)]
        fallbacks = F.array(*[_fallback(region_view(view)) for view in views]).alias(FALLBACKS)
        rows = images.select("content_hash", "content", *boxes, fallbacks)
        rows = rows.mapInArrow(embed_partition, f"{FEATURES_DDL}, {FALLBACKS_DDL}")
    return _explode_views(rows, views).withColumn("featurized_at", F.lit(datetime.now(timezone.utc)))


def _box(crop: str | None) -> Column:
    return F.lit(None).cast("array<double>") if crop is None else F.col("regions")[crop]["box"]


def _fallback(crop: str | None) -> Column:
    return F.lit(None).cast("string") if crop is None else F.col("regions")[crop]["fallback"]


def _explode_views(rows: DataFrame, views: Sequence[str]) -> DataFrame:
    """Return a row for every view, with its backbone; the features of the views are concatenated in the input."""
    if FALLBACKS not in rows.columns:
        rows = rows.withColumn(FALLBACKS, F.lit(None).cast("array<string>"))
    width = (F.size("features") / len(views)).cast("int")
    parts = [
        F.struct(
            F.lit(view).alias("backbone"),
            (F.slice("features", i * width + 1, width) if len(views) > 1 else F.col("features")).alias("features"),
            F.when(F.col("failure").isNull(), F.col(FALLBACKS)[i]).alias("fallback"),
        )
        for i, view in enumerate(views)
    ]
    exploded = rows.withColumn("view", F.explode(F.array(*parts)) if len(views) > 1 else parts[0])
    return exploded.select(
        "content_hash", "view.features", "failure", "failure_detail", "view.fallback", "view.backbone"
    )


def failure_rows(unreadable: DataFrame, views: Sequence[str]) -> DataFrame:
    """Return a row for each view of images that ingest could not read."""
    return unreadable.select(
        "content_hash",
        F.lit(None).cast("array<float>").alias("features"),
        "failure",
        "failure_detail",
        F.lit(None).cast("string").alias("fallback"),
        F.explode(F.array(*map(F.lit, views))).alias("backbone"),
        F.lit(datetime.now(timezone.utc)).alias("featurized_at"),
    )

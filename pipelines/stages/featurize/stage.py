"""Featurize: images of the table images become rows of the table features, one per content and backbone.

Decoding, resizing and the forward pass happen in one function on the executors: compressed bytes cross the
border to Python, features come back. Only what a backbone has not seen yet is computed; of several side by side
(`a+b`) each has rows of its own, and so have flipped images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

import pandas as pd
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.backbones import Backbone, Embedding, backbones_from_settings, load_backbone, required_feature_ids
from pipelines.config.loader import load_settings
from pipelines.config.settings import EngineName, Featurize, Precision, Settings
from pipelines.engines import EngineFactory, load_or_convert, openvino_available
from pipelines.engines.arrow import FEATURES_DDL, EmbedFn, embed_batches, freeze_gc, with_flip
from pipelines.errors import DataError, SettingsError
from pipelines.formatting import pluralize
from pipelines.images.subprocess_decoder import time_limited_reader
from pipelines.progress import progress
from pipelines.schemas import ID_SEPARATOR
from pipelines.spark.runtime import sql_conf
from pipelines.spark.session import task_threads
from pipelines.stages.featurize.work_plan import WorkUnit, count_pending, plan_work
from pipelines.stages.quarantine import quarantine_notes
from pipelines.stages.result import StageResult, Stopwatch
from pipelines.workspace.chunks import split_into_chunks
from pipelines.workspace.features import read_features
from pipelines.workspace.free_space import require_free_space
from pipelines.workspace.hold import pin_table
from pipelines.workspace.pending import images_to_featurize
from pipelines.workspace.tables import Tables, count_failures

ROW_BYTES = 8 * 1024  # of features, as those of resnet50 take: most backbones take less


def featurize(
    images: DataFrame,
    backbone: Backbone,
    *,
    engine: EngineName = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    cache: str = "~/.cache/irbis/weights",
) -> DataFrame:
    """Give content_hash, backbone, features, failure, failure_detail, featurized_at for rows of content_hash, content.

    `engine`: auto (OpenVINO on CPUs where it is installed, torch on GPUs), openvino or torch. `batch_size`: None for
    the engine's own. `cache` keeps converted networks.
    """
    embed = _embedder(images.sparkSession, backbone, engine, device, batch_size, cache)
    return _features(images, (backbone.feature_id,), embed)


def featurize_udf(
    name: str,
    *,
    weights: str | None = None,
    precision: Precision = "exact",
    engine: EngineName = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    **preprocessing: Any,
) -> Callable[[Column | str], Column]:
    """Give a pandas UDF from image bytes to array<float>, null where an image cannot be read.

    For notebooks: `images.select(featurize_udf("mobilenet_v2")("content"))`. Needs a running session.
    """
    spark = SparkSession.getActiveSession()
    if spark is None:
        raise DataError("featurize_udf needs a Spark session. Start one first: get_session(load_settings()).")
    chosen = load_settings().featurize
    cache, allowed = chosen.weights_cache, chosen.weights_sha256
    backbone = load_backbone(
        name, weights=weights, cache=cache, precision=precision, allowed_sha256=allowed, **preprocessing
    )
    embed = _embedder(spark, backbone, engine, device, batch_size, cache)

    def each(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        for images in batches:
            yield pd.Series([found.features for found in embed(images)])

    each.__annotations__ = {"batches": Iterator[pd.Series], "return": Iterator[pd.Series]}
    return F.pandas_udf(each, "array<float>")  # type: ignore[call-overload, no-any-return]


def run(spark: SparkSession, settings: Settings) -> StageResult:
    """Compute the features that the backbones of the settings lack of the current images, one after the other."""
    clock, tables, chosen = Stopwatch(), Tables.of(spark, settings), settings.featurize
    backbones = backbones_from_settings(settings, check=False)
    identity = ID_SEPARATOR.join(each.feature_id for each in backbones)
    wanted = required_feature_ids(chosen, identity)
    tables.require("images")
    pin_table(tables, settings, "features")
    waiting = tables.materialize(images_to_featurize(tables, wanted))
    counts = count_pending(waiting)
    failed = spark.sparkContext.accumulator(sum(row["unread"] for row in counts))
    for backbone in backbones:
        for each in plan_work(backbone, counts):
            _compute(tables, chosen, each, waiting, failed)
    failures, notes = {}, []
    if failed.value:  # of a task that ran twice it has counted all twice: the table knows
        found = read_features(tables, wanted).where("failure is not null").drop("features")
        found = tables.materialize(
            found.join(waiting.selectExpr("content_hash", "path", "failure as read_failure"), "content_hash")
        )
        failures = count_failures(found)
        notes = quarantine_notes(found.where("read_failure is null"))
    total = sum(row["count"] for row in counts)
    outcome = f"{identity}, and flipped" if chosen.horizontal_flip else identity
    written = total - sum(failures.values())
    return StageResult("featurize", total, written, failures, clock.seconds, tuple(notes), outcome=outcome)


def _compute(tables: Tables, chosen: Featurize, task: WorkUnit, waiting: DataFrame, failed: Any) -> None:
    """Compute and commit a pass, chunk by chunk."""
    spark = tables.spark
    place = (chosen.engine, chosen.device, chosen.batch_size, chosen.weights_cache)
    embed = _embedder(spark, task.backbone, *place, task.flips)
    with sql_conf(
        spark,
        spark__sql__execution__arrow__maxRecordsPerBatch=task.batch_rows,
        spark__sql__parquet__columnarReaderBatchSize=task.batch_rows,
    ):
        per_commit = chosen.images_per_commit
        for chunk, count in split_into_chunks(task.rows(waiting), task.count, per_commit, "ingested_at", "path"):
            written = count * len(task.views) * ROW_BYTES + (
                tables.bytes_on_disk("features") if task.replaced_count else 0
            )
            require_free_space(tables, written, f"The next commit of featurize ({pluralize(count, 'image')})")
            _append(tables, task, embed, chunk, count, failed)


def _embedder(
    spark: SparkSession,
    backbone: Backbone,
    engine: EngineName,
    device: str,
    batch_size: int | None,
    cache: str,
    looks: Sequence[bool] = (False,),
) -> EmbedFn:
    """Give what the executors run on images; the weights, or the network made of them, are sent there once.

    `looks`: whether each image is flipped, once for every time that the network looks at it.
    """
    if engine == "openvino" and not openvino_available():
        raise SettingsError(
            "featurize.engine = openvino: it is not installed. pip install openvino, or set it to auto."
        )
    is_converted = engine == "openvino" or (engine == "auto" and device != "cuda" and openvino_available())
    if not is_converted:
        backbone.check()
    context, light = spark.sparkContext, backbone.without_weights()
    weights = context.broadcast(backbone.weights)
    converted = load_or_convert(backbone, cache) if is_converted else None
    digest, graph = (converted.digest, context.broadcast(converted)) if converted else ("", None)
    threads = task_threads(spark)

    def embed(images: Iterable[bytes | None]) -> Iterator[Embedding]:
        engines = EngineFactory(light, lambda: weights.value, (lambda: graph.value) if graph else None, digest)
        task = TaskContext.get()
        gpus = task.resources().get("gpu") if task else None
        chosen = engines.get(device, gpus=gpus.addresses if gpus else (), threads=threads, batch=batch_size or 0)
        if task:
            freeze_gc()
        # On a GPU the task's cores are free to decode; on a CPU they compute.
        decode_threads = threads if chosen.max_concurrent_calls > 1 else 0
        with time_limited_reader(light.load_pixels, light.max_seconds, task.attemptNumber() if task else None) as read:
            network = with_flip(chosen, looks)
            yield from light.embed(images, network, batch=chosen.batch, decode_threads=decode_threads, read=read)

    return embed


def _features(
    images: DataFrame, views: Sequence[str], embed: EmbedFn, count: Callable[[int, int], None] | None = None
) -> DataFrame:
    """Give the rows of `featurize`, one of each view. `count(done, failed)` is told on the executors of each batch."""

    def each(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return embed_batches(batches, embed, count)

    rows = images.select("content_hash", "content").mapInArrow(each, FEATURES_DDL)
    return _by_view(rows, views).withColumn("featurized_at", F.lit(datetime.now(timezone.utc)))


def _by_view(rows: DataFrame, views: Sequence[str]) -> DataFrame:
    """Give a row for every view, with its backbone; the features of several came one behind the other."""
    if len(views) == 1:
        return rows.withColumn("backbone", F.lit(views[0]))
    width = (F.size("features") / len(views)).cast("int")
    parts = [
        F.struct(F.lit(view).alias("backbone"), F.slice("features", place * width + 1, width).alias("features"))
        for place, view in enumerate(views)
    ]
    exploded = rows.withColumn("view", F.explode(F.array(*parts)))
    return exploded.select("content_hash", "view.features", "failure", "failure_detail", "view.backbone")


def _append(tables: Tables, task: WorkUnit, embed: EmbedFn, chunk: DataFrame, count: int, failed: Any) -> None:
    """Compute and commit one chunk; images that ingest could not read are not decoded again."""
    done = tables.spark.sparkContext.accumulator(0)

    def tell(n: int, n_failed: int) -> None:
        done.add(n)
        failed.add(n_failed)

    with progress("featurize", count, lambda: done.value):
        found = _features(tables.with_content(chunk.where("failure is null"), task.since), task.views, embed, tell)
        if task.unreadable_count:
            found = found.unionByName(_without_features(chunk.where("failure is not null"), task.views))
        if task.replaced_count and chunk.where("is_replaced").head(1):
            tables.upsert("features", found, ["content_hash", "backbone"])
        else:
            tables.append("features", found)


def _without_features(unread: DataFrame, views: Sequence[str]) -> DataFrame:
    """Give a row of each view for images that have a failure already."""
    return unread.select(
        "content_hash",
        F.lit(None).cast("array<float>").alias("features"),
        "failure",
        "failure_detail",
        F.explode(F.array(*map(F.lit, views))).alias("backbone"),
        F.lit(datetime.now(timezone.utc)).alias("featurized_at"),
    )

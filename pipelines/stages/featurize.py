"""Featurize: pictures of the table images become rows of the table features, one per content and backbone.

Decoding, resizing and the forward pass happen in one function on the executors: compressed bytes cross the
border to Python, features come back. Only what a backbone has not seen yet is computed; of several side by side
(`a+b`) each has rows of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

import pandas as pd
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from pipelines.config import load_settings
from pipelines.errors import DataError, SettingsError
from pipelines.models.backbones import Backbone, Embedding, backbones_of, load_backbone
from pipelines.models.embedding import EMBEDDED_DDL, Embed, embed_batches
from pipelines.models.engines import Engines, can_convert, graph_of
from pipelines.platform.progress import progress
from pipelines.platform.queries import sql_conf
from pipelines.platform.session import task_threads
from pipelines.schemas import JOINT
from pipelines.settings import EngineName, Featurize, Precision, Settings
from pipelines.stages.result import Clock, StageResult
from pipelines.storage.features import features_of
from pipelines.storage.pending import pictures_to_featurize
from pipelines.storage.tables import Tables, chunks, count_failures

BATCH_BYTES = 32 * 2**20  # what one Arrow batch and one Parquet batch may hold of pictures


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
    return _features(images, backbone, _embedder(images.sparkSession, backbone, engine, device, batch_size, cache))


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
    """Give a pandas UDF from picture bytes to array<float>, null where a picture cannot be read.

    For notebooks: `images.select(featurize_udf("mobilenet_v2")("content"))`. Needs a running session.
    """
    spark = SparkSession.getActiveSession()
    if spark is None:
        raise DataError("featurize_udf needs a Spark session. Start one first: get_session(load_settings()).")
    cache = load_settings().featurize.weights_cache
    backbone = load_backbone(name, weights=weights, cache=cache, precision=precision, **preprocessing)
    embed = _embedder(spark, backbone, engine, device, batch_size, cache)

    def each(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        for pictures in batches:
            yield pd.Series([found.features for found in embed(pictures)])

    each.__annotations__ = {"batches": Iterator[pd.Series], "return": Iterator[pd.Series]}
    return F.pandas_udf(each, "array<float>")  # type: ignore[call-overload, no-any-return]


def run(spark: SparkSession, settings: Settings) -> StageResult:
    """Compute the features that the backbones of the settings lack of the current images, one after the other."""
    clock, tables = Clock(), Tables.of(spark, settings)
    backbones = backbones_of(settings, check=False)
    identity = JOINT.join(each.identity for each in backbones)
    tables.require("images")
    waiting = tables.settled(pictures_to_featurize(tables, identity))
    tasks = waiting.groupBy("lacking").agg(
        F.count("*").alias("count"),
        F.count("failure").alias("unread"),
        F.max("size").alias("largest"),
        F.min("ingested_at").alias("since"),
    )
    tasks = tasks.collect()
    failed = spark.sparkContext.accumulator(sum(task["unread"] for task in tasks))
    for backbone in backbones:
        own = [task for task in tasks if backbone.identity in task["lacking"]]
        if own:
            rows = waiting.where(F.array_contains("lacking", backbone.identity))
            _compute(tables, settings.featurize, backbone, rows, own, failed)
    failures = {}
    if failed.value:  # of a task that ran twice it has counted all twice: the table knows
        failures = count_failures(features_of(tables, identity).join(waiting, "content_hash", "left_semi"))
    total = sum(task["count"] for task in tasks)
    return StageResult("featurize", total, total - sum(failures.values()), failures, clock.seconds, outcome=identity)


def _compute(
    tables: Tables, chosen: Featurize, backbone: Backbone, waiting: DataFrame, tasks: Sequence[Row], failed: Any
) -> None:
    """Compute and commit, chunk by chunk, what one backbone lacks; `tasks` say how much that is."""
    spark, total = tables.spark, sum(task["count"] for task in tasks)
    since, largest = min(task["since"] for task in tasks), max(task["largest"] or 1 for task in tasks)
    embed = _embedder(spark, backbone, chosen.engine, chosen.device, chosen.batch_size, chosen.weights_cache)
    rows = max(1, min(256, BATCH_BYTES // largest))
    with sql_conf(
        spark,
        spark__sql__execution__arrow__maxRecordsPerBatch=rows,
        spark__sql__parquet__columnarReaderBatchSize=rows,
    ):
        for chunk, count in chunks(waiting, total, chosen.pictures_per_commit, "ingested_at", "path"):
            _append(tables, backbone, embed, chunk, count, since, failed)


def _embedder(
    spark: SparkSession, backbone: Backbone, engine: EngineName, device: str, batch_size: int | None, cache: str
) -> Embed:
    """Give what the executors run on pictures; the weights, or the network made of them, are sent there once."""
    if engine == "openvino" and not can_convert():
        raise SettingsError(
            "featurize.engine = openvino: it is not installed. pip install openvino, or set it to auto."
        )
    is_converted = engine == "openvino" or (engine == "auto" and device != "cuda" and can_convert())
    if not is_converted:
        backbone.check()
    context, light = spark.sparkContext, backbone.without_weights()
    weights = context.broadcast(backbone.weights)
    graph = context.broadcast(graph_of(backbone, cache)) if is_converted else None
    threads = task_threads(spark)

    def embed(pictures: Iterable[bytes | None]) -> Iterator[Embedding]:
        engines = Engines(light, lambda: weights.value, (lambda: graph.value) if graph else None)
        task = TaskContext.get()
        gpus = task.resources().get("gpu") if task else None
        chosen = engines.engine(device, gpus=gpus.addresses if gpus else (), threads=threads, batch=batch_size or 0)
        # On a GPU the task's cores are free to decode; on a CPU they compute.
        readers = threads if chosen.flights > 1 else 0
        return light.embed(pictures, chosen, batch=chosen.batch, readers=readers)

    return embed


def _features(
    images: DataFrame, backbone: Backbone, embed: Embed, count: Callable[[int, int], None] | None = None
) -> DataFrame:
    """Give the rows of `featurize`. `count(done, failed)` is told, on the executors, of each batch."""

    def each(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return embed_batches(batches, embed, count)

    rows = images.select("content_hash", "content").mapInArrow(each, EMBEDDED_DDL)
    return rows.withColumn("backbone", F.lit(backbone.identity)).withColumn(
        "featurized_at", F.lit(datetime.now(timezone.utc))
    )


def _append(
    tables: Tables, backbone: Backbone, embed: Embed, chunk: DataFrame, count: int, since: datetime, failed: Any
) -> None:
    """Compute and commit one chunk; pictures that ingest could not read are not decoded again."""
    done = tables.spark.sparkContext.accumulator(0)

    def tell(n: int, n_failed: int) -> None:
        done.add(n)
        failed.add(n_failed)

    with progress("featurize", count, lambda: done.value):
        features = _features(tables.with_content(chunk.where("failure is null"), since), backbone, embed, tell)
        unread = chunk.where("failure is not null").select(
            "content_hash",
            F.lit(None).cast("array<float>").alias("features"),
            "failure",
            "failure_detail",
            F.lit(backbone.identity).alias("backbone"),
            F.lit(datetime.now(timezone.utc)).alias("featurized_at"),
        )
        found = features.unionByName(unread)
        if chunk.where("is_replaced").head(1):
            tables.upsert("features", found, ["content_hash", "backbone"])
        else:
            tables.append("features", found)

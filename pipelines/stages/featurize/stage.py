"""Featurize: compute the features of the table images into the table features, one row per content and backbone.

Decoding, resizing and the forward pass run in one function on the executors: compressed bytes go from the JVM to
Python, features come back. Only missing features are computed. With several backbones (`a+b`) each has rows of its own,
and so have flipped images and crops. Where the crops are is found first, and stays in the table regions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.backbones import (
    Backbone,
    backbones_from_settings,
    joined_feature_id,
    load_backbone,
    required_feature_ids,
)
from pipelines.config.loader import load_settings
from pipelines.config.settings import EngineName, Featurize, Precision, Settings
from pipelines.engines import require_packages
from pipelines.engines.arrow import EmbedFn
from pipelines.errors import DataError
from pipelines.feature_ids import split_ids
from pipelines.formatting import pluralize
from pipelines.progress import progress
from pipelines.spark.image_batches import image_batches
from pipelines.stages.featurize.compute import compute_features, failure_rows, make_embedder
from pipelines.stages.featurize.locate import fallback_notes, locate
from pipelines.stages.featurize.reuse import ROW_BYTES, reuse_features
from pipelines.stages.featurize.statistics import store_statistics
from pipelines.stages.featurize.work_plan import WorkUnit, count_pending, plan_work
from pipelines.stages.quarantine import quarantine_notes
from pipelines.stages.result import StageResult, Stopwatch
from pipelines.workspace.chunks import split_into_chunks
from pipelines.workspace.features import read_features
from pipelines.workspace.free_space import require_free_space
from pipelines.workspace.hold import pin_table
from pipelines.workspace.pending import images_to_featurize
from pipelines.workspace.regions import add_regions, region_views
from pipelines.workspace.tables import Tables, count_failures


def featurize(
    images: DataFrame,
    backbone: Backbone,
    *,
    engine: EngineName = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    cache: str = "~/.cache/irbis/weights",
) -> DataFrame:
    """Return rows of the table features for rows of content_hash, content, one for one.

    `engine`: auto (OpenVINO on CPUs if it is installed, torch on GPUs), openvino or torch. `batch_size`: None for the
    engine's default. `cache` is the folder of converted networks.
    """
    embed = make_embedder(images.sparkSession, backbone, engine, device, batch_size, cache)
    return compute_features(images, (backbone.feature_id,), embed)


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
    """Return a pandas UDF from image bytes to array<float>, null where an image cannot be read.

    For notebooks: `images.select(featurize_udf("mobilenet_v2")("content"))`. Needs a running session.
    """
    spark = SparkSession.getActiveSession()
    if spark is None:
        raise DataError("featurize_udf needs a Spark session. Start one first: get_session(load_settings()).")
    defaults = load_settings().featurize
    cache, allowed = defaults.weights_cache, defaults.weights_sha256
    backbone = load_backbone(
        name, weights=weights, cache=cache, precision=precision, allowed_sha256=allowed, check=False, **preprocessing
    )
    embed = make_embedder(spark, backbone, engine, device, batch_size, cache)

    def embed_series(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        for images in batches:
            yield pd.Series([embedding.features for embedding in embed(images)])

    embed_series.__annotations__ = {"batches": Iterator[pd.Series], "return": Iterator[pd.Series]}
    return F.pandas_udf(embed_series, "array<float>")  # type: ignore[call-overload, no-any-return]


def run(spark: SparkSession, settings: Settings) -> StageResult:
    """Compute the missing features of the current images, one backbone of the settings after the other."""
    clock, tables, options = Stopwatch(), Tables.of(spark, settings), settings.featurize
    require_packages(settings)
    backbones = backbones_from_settings(settings, check=False)
    identity = joined_feature_id(options, backbones)
    required = required_feature_ids(options, identity)
    tables.require("images")
    pin_table(tables, settings, "features")
    pending = tables.materialize(images_to_featurize(tables, required))
    if views := region_views(required) if pending.head(1) else []:
        locate(tables, settings, pending, views)
        pending = tables.materialize(add_regions(tables, pending, views))
    rest = reuse_features(tables, store_statistics(tables, pending, split_ids(required))) if views else pending
    counts = count_pending(rest)
    failed = spark.sparkContext.accumulator(sum(row["unreadable"] for row in counts))
    for backbone in backbones:
        for unit in plan_work(backbone, counts):
            _run_work_unit(tables, options, unit, rest, failed)
    failures, notes = {}, []
    if failed.value:  # the accumulator counts the images of a repeated task twice: the table has the exact number
        failed_rows = read_features(tables, required).where("failure is not null").drop("features")
        failed_rows = tables.materialize(
            failed_rows.join(pending.selectExpr("content_hash", "path", "failure as read_failure"), "content_hash")
        )
        failures = count_failures(failed_rows)
        notes = quarantine_notes(failed_rows.where("read_failure is null"))
    notes += fallback_notes(pending, views)
    total = sum(row["count"] for row in counts) if rest is pending else pending.count()
    outcome = f"{identity}, and flipped" if options.horizontal_flip else identity
    written = total - sum(failures.values())
    return StageResult("featurize", total, written, failures, clock.seconds, tuple(notes), outcome=outcome)


def _run_work_unit(tables: Tables, options: Featurize, unit: WorkUnit, pending: DataFrame, failed: Any) -> None:
    """Compute and commit the features of a work unit, chunk by chunk."""
    spark = tables.spark
    engine_options = (options.engine, options.device, options.batch_size, options.weights_cache)
    embed = make_embedder(spark, unit.backbone, *engine_options, unit.crops, unit.view_specs)
    with image_batches(spark, unit.batch_rows):
        per_commit = options.images_per_commit
        for chunk, count in split_into_chunks(unit.rows(pending), unit.count, per_commit, "ingested_at", "path"):
            replaced = tables.bytes_on_disk("features") if unit.replaced_count else 0  # an upsert may rewrite all
            written = count * len(unit.views) * ROW_BYTES + replaced
            require_free_space(tables, written, f"The next commit of featurize ({pluralize(count, 'image')})")
            _append_chunk(tables, unit, embed, chunk, count, failed)


def _append_chunk(tables: Tables, unit: WorkUnit, embed: EmbedFn, chunk: DataFrame, count: int, failed: Any) -> None:
    """Compute and commit one chunk; images that ingest could not read are not decoded again."""
    done = tables.spark.sparkContext.accumulator(0)

    def add_counts(n: int, n_failed: int) -> None:
        done.add(n)
        failed.add(n_failed)

    with progress("featurize", count, lambda: done.value):
        readable = tables.with_content(chunk.where("failure is null"), unit.since)
        rows = compute_features(readable, unit.views, embed, add_counts, unit.crops)
        if unit.unreadable_count:
            rows = rows.unionByName(failure_rows(chunk.where("failure is not null"), unit.views))
        if unit.replaced_count and chunk.where("is_replaced").head(1):
            tables.upsert("features", rows, ["content_hash", "backbone"])
        else:
            tables.append("features", rows)

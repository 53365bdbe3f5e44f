"""Ingest: pictures of a source become rows of the table images, with label, station, time, burst and group.

Only new and changed files are read. What people change about a picture (its label, its station) and what a
late arrival changes about its burst becomes a new row with the same bytes: the table only ever grows.
"""

from __future__ import annotations

from datetime import datetime, timezone
from functools import partial
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.errors import DataError
from pipelines.evaluation.bursts import assign_bursts, stored_sequence
from pipelines.evaluation.split import conflicting_labels
from pipelines.images.header import read_header
from pipelines.platform.progress import progress
from pipelines.platform.session import task_slots
from pipelines.schemas import Failure
from pipelines.settings import Settings
from pipelines.stages.result import Clock, StageResult
from pipelines.storage.fetching import FETCHED_DDL, fetcher
from pipelines.storage.listing import Listing, list_names
from pipelines.storage.sources import Source, open_source
from pipelines.storage.tables import Tables, chunks, count_failures

FRAME = ["path", "content_hash", "station", "camera", "captured_at", "sequence"]
PASSING = [str(failure) for failure in Failure if failure.is_passing]


def ingest(names: DataFrame, source: Source, settings: Settings, count: Any = None) -> DataFrame:
    """Fetch the named pictures on the executors: one row in, one row of images out, bursts not yet known.

    `count(n)` is told, on the executors, how many were fetched.
    """
    limits = settings.images
    describe = partial(_described, max_pixels=limits.max_pixels, max_bytes=limits.max_bytes)
    fetch = fetcher(source, describe, max_bytes=limits.max_bytes, count=count)
    fetched = names.select("path", "etag", "size").mapInArrow(fetch, FETCHED_DDL)
    serial = F.col("exif_camera") if settings.sources.station == "exif" else F.lit(None)
    return (
        fetched.join(F.broadcast(names), "path")
        .withColumn("station", F.coalesce("station", serial))
        .withColumn("camera", F.coalesce("camera", "exif_camera"))
        .withColumn("captured_at", F.coalesce("captured_at", "exif_time"))
    )


def run(spark: SparkSession, settings: Settings) -> StageResult:
    """Read what is new in settings.sources.images into the table images."""
    clock = Clock()
    if not settings.sources.images:
        raise DataError("sources.images is not set. Give a folder of pictures: --images DIR.")
    source, tables = open_source(settings.sources.images), Tables.of(spark, settings)
    rules = settings.sources
    listing = list_names(spark, source, labels=rules.labels, station=rules.station, extensions=rules.extensions)
    if not listing.count and not tables.exists("images"):
        raise DataError(_nothing_found(source, listing))
    started = datetime.now(timezone.utc)
    listing.names.persist()
    fresh = listing.names.join(_known(tables.current_images()), ["path", "etag"], "left_anti").persist()
    waiting = fresh.count()
    for chunk in chunks(fresh, waiting, settings.ingest.files_per_commit, "path"):
        _append(tables, source, settings, *chunk)
    restated = _restate(tables, settings, listing.names)
    written = tables.read("images").where(F.col("ingested_at") >= F.lit(started))
    failures = count_failures(written) if waiting else {}
    notes = [
        *_notes(tables, source, listing),
        *([f"{restated:,} pictures got a new label, station or burst."] if restated else []),
    ]
    fresh.unpersist(), listing.names.unpersist()
    return StageResult(
        "ingest", waiting, waiting - sum(failures.values()) + restated, failures, clock.seconds, tuple(notes)
    )


def _described(content: bytes, max_pixels: int, max_bytes: int) -> dict[str, Any]:
    header = read_header(content, max_pixels=max_pixels, max_bytes=max_bytes)
    return {
        "exif_time": header.captured_at,
        "exif_camera": header.camera,
        "width": header.width,
        "height": header.height,
    }


def _known(current: DataFrame) -> DataFrame:
    """Give path and etag of what needs no second reading; a passing failure does."""
    settled = F.col("failure").isNull() | ~F.col("failure").isin(PASSING)
    return current.where(settled).select("path", "etag")


def _append(tables: Tables, source: Source, settings: Settings, names: DataFrame, count: int) -> None:
    """Fetch one chunk, find its bursts among all that is there, and commit it."""
    spark = tables.spark
    done = spark.sparkContext.accumulator(0)
    partitions = _partitions(names, settings)
    spread = names.repartitionByRange(partitions, "path") if partitions > 1 else names.coalesce(1)
    # The bytes go to the executors' disks once: bursts are found on the columns beside them.
    rows = ingest(spread, source, settings, done.add).persist(StorageLevel.DISK_ONLY)
    with progress("ingest", count, lambda: done.value):
        others = _frames(tables.current_images()).join(names.select("path"), "path", "left_anti")
        bursts = _bursts(others.unionByName(rows.select(*FRAME)), settings)
        bursts = bursts.join(names.select("path"), "path", "left_semi")
        now = F.lit(datetime.now(timezone.utc))
        whole = rows.join(F.broadcast(bursts), "path").withColumn("ingested_at", now)
        tables.append("images", whole, compression="uncompressed")
    rows.unpersist()


def _partitions(names: DataFrame, settings: Settings) -> int:
    total = names.agg(F.sum("size")).first()[0] or 0
    slots = task_slots(settings.spark.master)
    return max(slots, -(-total // (settings.ingest.partition_megabytes * 2**20)))


def _frames(images: DataFrame) -> DataFrame:
    return images.withColumn("sequence", stored_sequence("burst_id")).select(*FRAME)


def _bursts(frames: DataFrame, settings: Settings) -> DataFrame:
    gaps = settings.ingest
    return assign_bursts(frames, burst_gap_seconds=gaps.burst_gap_seconds, group_gap_minutes=gaps.group_gap_minutes)


def _restate(tables: Tables, settings: Settings, names: DataFrame) -> int:
    """Append a new row for every current picture whose label, station, camera, time or burst is another now."""
    current = tables.current_images()
    told = names.select("path", *[F.col(c).alias(f"told_{c}") for c in ("label", *FRAME[2:])], "says_label")
    both = current.join(told, "path", "left").withColumn("sequence", stored_sequence("burst_id"))
    wanted = both.select(
        "path",
        "content_hash",
        F.when(F.col("says_label"), F.col("told_label")).otherwise(F.col("label")).alias("label"),
        *[F.coalesce(f"told_{column}", column).alias(column) for column in FRAME[2:]],
    )
    wanted = wanted.join(_bursts(wanted, settings), "path").drop("content_hash", "sequence")
    columns = [column for column in wanted.columns if column != "path"]
    renamed = wanted.select("path", *[F.col(c).alias(f"new_{c}") for c in columns])
    compared = current.join(renamed, "path")
    same = [F.col(c).eqNullSafe(F.col(f"new_{c}")) for c in columns]
    changed = compared.where(~_all(same)).persist()
    count, since = changed.agg(F.count("*"), F.min("ingested_at")).first()
    if count:
        rows = tables.with_content(changed, since)
        for column in columns:
            rows = rows.withColumn(column, F.col(f"new_{column}"))
        rows = rows.withColumn("ingested_at", F.lit(datetime.now(timezone.utc)))
        tables.append("images", rows, compression="uncompressed")
    changed.unpersist()
    return int(count)


def _all(conditions: list[Any]) -> Any:
    whole = conditions[0]
    for condition in conditions[1:]:
        whole = whole & condition
    return whole


def _nothing_found(source: Source, listing: Listing) -> str:
    others = ", ".join(f"{n} .{suffix}" for suffix, n in listing.ignored.most_common(3))
    return (
        f"{source.root} has no pictures" + (f", only other files ({others})" if others else "") + ". "
        "Give another folder, or the suffixes of your pictures: --set sources.extensions=jpg,..."
    )


def _notes(tables: Tables, source: Source, listing: Listing) -> list[str]:
    """Give sentences on what a person should know: files left out, gone, or labelled twice."""
    notes = list(listing.notes)
    if listing.problems:
        notes.append(f"{len(listing.problems):,} files could not be listed, first {listing.problems[0]}.")
    current = tables.current_images()
    below = current.where(F.col("path").startswith(source.root))
    gone = below.join(listing.names.select("path"), "path", "left_anti").agg(F.count("*"), F.min("path")).first()
    if gone[0]:
        notes.append(f"{gone[0]:,} pictures are gone from the source, first {gone[1]}; their rows are kept.")
    conflicts = conflicting_labels(current).agg(F.count("*"), F.min("paths")).first()
    if conflicts[0]:
        notes.append(
            f"{conflicts[0]:,} pictures stand under more than one label and are left out of training, "
            f"first {' = '.join(conflicts[1][:2])}."
        )
    return notes

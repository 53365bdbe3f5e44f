"""Ingest: read the images of a source into the table images, with label, station, time, burst and group.

Only new and changed files are read. A change of an image's label, station or burst becomes a new row that refers to the
same bytes. Images that are gone are marked as removed; their rows are deleted after ingest.keep_removed_days.
"""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from typing import Any

from pyspark import StorageLevel, TaskContext
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines import schemas
from pipelines.config.settings import Settings
from pipelines.errors import AccessError, DataError
from pipelines.formatting import pluralize
from pipelines.images.bounded_values import read_bounded_header
from pipelines.images.subprocess_decoder import time_limited_reader
from pipelines.progress import progress
from pipelines.schemas import Failure
from pipelines.sources.fetch import FETCH_DDL, ReadMetadata, make_fetch_fn
from pipelines.sources.listing import Listing, list_images
from pipelines.sources.registry import Source, open_source
from pipelines.spark.session import task_slots
from pipelines.stages import quarantine
from pipelines.stages.ingest.changes import (
    append_updates,
    burst_rule,
    bytes_to_fetch,
    diff_listing,
    recompute_bursts,
    with_updates,
)
from pipelines.stages.ingest.duplicates import duplicate_notes
from pipelines.stages.ingest.grouping import GroupingSummary, contradiction_notes
from pipelines.stages.ingest.removals import (
    Moves,
    find_known_content,
    find_moved,
    mark_removed,
    reference_known_content,
    removed_rows,
)
from pipelines.stages.ingest.source_notes import missing_serial_notes, no_images_message, source_notes
from pipelines.stages.result import StageResult, Stopwatch
from pipelines.workspace.chunks import split_into_chunks
from pipelines.workspace.deletions import delete_due
from pipelines.workspace.free_space import require_free_space
from pipelines.workspace.hold import pin_table
from pipelines.workspace.tables import Tables, count_failures

MIN_FILES_FOR_LIMIT = 20  # below this number of images a fraction means little
CONTENT_KEY = ["path", "content_hash"]


def ingest(names: DataFrame, source: Source, settings: Settings, count: Any = None) -> DataFrame:
    """Fetch the listed images on the executors: one row in, one row of images out, without bursts.

    `count(n)` is called on the executors with the number of images fetched.
    """
    limits = settings.images
    describe = partial(read_bounded_header, max_pixels=limits.max_pixels, max_bytes=limits.max_bytes)
    max_seconds, threads = limits.max_seconds, settings.ingest.threads

    def read_with_limit(describe: ReadMetadata) -> AbstractContextManager[ReadMetadata]:
        task = TaskContext.get()
        return time_limited_reader(describe, max_seconds, task.attemptNumber() if task else None)

    fetch = make_fetch_fn(
        source, describe, max_bytes=limits.max_bytes, threads=threads, count_rows=count, isolate=read_with_limit
    )
    fetched = names.select("path", "etag", "size").mapInArrow(fetch, FETCH_DDL)
    serial = F.col("exif_camera") if settings.sources.station == "exif" else F.lit(None)
    return (
        fetched.join(F.broadcast(names), "path")
        .withColumn("station", F.coalesce("station", serial))
        .withColumn("camera", F.coalesce("camera", "exif_camera"))
        .withColumn("is_time_named", F.coalesce("captured_at", "exif_time").isNull() & F.col("named_time").isNotNull())
        .withColumn("captured_at", F.coalesce("captured_at", "exif_time", "named_time"))
    )


def run(spark: SparkSession, settings: Settings, *, may_be_empty: bool = False) -> StageResult:
    """Read the new images of settings.sources.images into the table images.

    Raises DataError if there is neither an image nor a table, unless `may_be_empty`.
    """
    clock = Stopwatch()
    source, tables = open_source(settings), Tables.of(spark, settings)
    listing = list_images(tables, source, settings.sources)
    if not listing.count and not tables.exists("images"):
        if may_be_empty:
            return StageResult("ingest", seconds=clock.seconds)
        raise DataError(no_images_message(source, listing))
    started = datetime.now(timezone.utc)
    pin_table(tables, settings, "images")
    result = _apply_listing(tables, source, settings, listing, clock)
    deleted, due = delete_due(tables, settings, started)
    return replace(result, notes=(*result.notes, *deleted), seconds=clock.seconds, due=due)


def _apply_listing(
    tables: Tables, source: Source, settings: Settings, listing: Listing, clock: Stopwatch
) -> StageResult:
    """Update the table images from a listing: fetch new files, append updates of changed rows, mark removed paths."""
    started, names = datetime.now(timezone.utc), listing.files.persist()
    changes = diff_listing(tables, names, settings.ingest, settings.images, source.root)
    updated, failures, moves, grouping = 0, Counter[str](), Moves(), GroupingSummary()
    for chunk, count in split_into_chunks(
        changes.new_files, changes.new_count, settings.ingest.files_per_commit, "path"
    ):
        size = changes.new_bytes
        if count < changes.new_count:
            size = chunk.agg(bytes_to_fetch("size", settings.images)).first()[0]
        _require_disk_space(tables, size, count)
        partitions = _num_partitions(size, settings)
        chunk_failures, changed = _ingest_chunk(
            tables, source, settings, chunk, count, partitions, changes.gone, moves, grouping
        )
        failures += chunk_failures
        updated += changed
    removed, kept = mark_removed(tables, settings, listing, changes, moves)
    if changes.stale_count:
        updated += append_updates(tables, names, settings.ingest)
    persistent = [*source_notes(listing), *kept]
    notes = [*persistent, *moves.notes(), *removed]
    if updated:
        notes = [*notes, f"{updated:,} images got a new label, station or burst."]
    if any(name in failures for name in quarantine.PROCESS_FAILURES):
        is_new = F.col("path").startswith(source.root) & (F.col("ingested_at") >= F.lit(started))
        notes += quarantine.quarantine_notes(tables.latest_images().where(is_new))
    if changes.new_count and settings.sources.station == "exif":
        notes = [*notes, *missing_serial_notes(tables, source.root)]
    if changes.new_count or updated:
        since = None if changes.is_first else started
        notes = [*notes, *grouping.notes(with_guesses=settings.sources.station != "exif")]
        notes += [*duplicate_notes(tables, since), *contradiction_notes(tables, since)]
    names.unpersist()
    fetched = changes.new_count
    written = fetched - sum(failures.values()) + updated
    return StageResult(
        "ingest", fetched, written, failures, clock.seconds, tuple(notes), persistent_notes=tuple(persistent)
    )


def _ingest_chunk(
    tables: Tables,
    source: Source,
    settings: Settings,
    names: DataFrame,
    count: int,
    partitions: int,
    gone: DataFrame | None,
    moves: Moves,
    grouping: GroupingSummary,
) -> tuple[Counter[str], int]:
    """Fetch one chunk and commit it together with earlier rows whose bursts it changes or whose bytes it moves.

    Returns the failures by name, and the number of earlier rows whose bursts change.
    """
    done = tables.spark.sparkContext.accumulator(0)
    # Random partitions: with images of mixed sizes every task gets about the same number of bytes.
    spread = names.repartition(partitions) if partitions > 1 else names.coalesce(1)
    # The bytes are written to the executors' disks once; bursts are found on the other columns.
    rows = ingest(spread, source, settings, done.add).persist(StorageLevel.DISK_ONLY)
    rules, now = settings.ingest, datetime.now(timezone.utc)
    with progress("ingest", count, lambda: done.value):
        failures = Counter(count_failures(rows))
        _require_access(rows, failures, count, settings, source)
        known = find_known_content(tables, rows)
        moved = find_moved(tables, rows, known, gone, source.root)
        bursts, others = recompute_bursts(tables, rows, names, rules, moved)
        own = bursts.join(names.select("path"), "path", "left_semi")
        grouping.add(rows, own)
        new_rows = (
            reference_known_content(rows, known).join(F.broadcast(own), "path").withColumn("ingested_at", F.lit(now))
        )
        new_rows = new_rows.withColumn("burst_rule", F.lit(burst_rule(rules)))
        new_rows = new_rows.withColumn("removed_at", F.lit(None).cast("timestamp"))
        new_rows = new_rows.select(*schemas.parse_ddl(schemas.IMAGES))
        other_count = others.count() if others else 0
        if others and other_count:
            new_rows = new_rows.unionByName(with_updates(others, now, rules).select(*new_rows.columns))
        if known is not None:
            moves.unchanged += (
                known.select(*CONTENT_KEY).distinct().join(rows.select(*CONTENT_KEY), CONTENT_KEY, "left_semi").count()
            )
        if moved is not None:
            moves.add(map(tuple, moved.select("path", "moved_to").collect()), source.root)
            new_rows = new_rows.unionByName(removed_rows(moved, now))
        tables.append("images", new_rows, compression="uncompressed")
    for frame in (rows, bursts, *([others] if others else [])):
        frame.unpersist()
    return failures, other_count


def _require_access(rows: DataFrame, failures: Counter[str], count: int, settings: Settings, source: Source) -> None:
    """Raise AccessError if too many files could not be read: half a day's images would look like a quiet day."""
    access_failures = [str(failure) for failure in Failure if failure.is_access_error]
    failed = sum(failures[name] for name in access_failures)
    if count >= MIN_FILES_FOR_LIMIT and failed > settings.ingest.max_failed_fraction * count:
        example = rows.where(F.col("failure").isin(access_failures)).orderBy("path").first()
        rows.unpersist()
        raise AccessError(
            f"{source.root}: {failed:,} of {count:,} images could not be read, first {example['path']} "
            f"({example['failure']}: {example['failure_detail']}). None of them was written. Run again later, or allow "
            "it: --set ingest.max_failed_fraction=1."
        )


def _require_disk_space(tables: Tables, size: int, count: int) -> None:
    """Raise PlatformError if the disks cannot hold the bytes twice: in the table, and in Spark's local directory."""
    remedy = f"ingest fewer images at once (--set ingest.files_per_commit={count // 2}), " if count > 1 else ""
    require_free_space(
        tables, size, f"The next commit of ingest ({pluralize(count, 'image')})", spill_bytes=size, remedy=remedy
    )


def _num_partitions(size: int, settings: Settings) -> int:
    """Return the number of tasks: a multiple of the cores, small enough that a failed task repeats little."""
    slots = task_slots(settings.spark.master)
    return slots * max(1, -(-size // (slots * settings.ingest.partition_megabytes * 2**20)))

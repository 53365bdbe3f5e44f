"""Find images whose files are gone, and mark their paths as removed.

A removed path gets a row with removed_at and without content, in the same commit as the rows that its bytes have moved
to. Bytes are stored once: later rows refer to the row that stores them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import reduce
from operator import or_

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines import schemas
from pipelines.config.settings import Settings
from pipelines.formatting import pluralize
from pipelines.schemas import Failure
from pipelines.sources.listing import Listing
from pipelines.sources.path_rules import allowed_suffixes
from pipelines.stages.ingest.changes import Changes, with_reference
from pipelines.workspace.tables import ROW_KEY, Tables

LOCAL_PREFIX = "file://"  # paths that this machine can check for existence
MAX_FOLDERS = 100


@dataclass
class Moves:
    """Counts of images under new paths, and of files that were rewritten with the same bytes."""

    count: int = 0
    unchanged: int = 0
    first: tuple[str, str] | None = None
    left_folders: Counter[str] = field(default_factory=Counter)  # outside the source, by common prefix of the old paths

    def add(self, pairs: Iterable[tuple[str, str]], root: str) -> None:
        for old, new in pairs:
            self.count += 1
            self.first = min(self.first or (old, new), (old, new))
            if not old.startswith(root):
                self.left_folders[_strip_common_suffix(old, new)] += 1

    def notes(self) -> list[str]:
        notes = []
        if self.first:
            notes.append(f"{pluralize(self.count, 'image')} moved, first {' -> '.join(self.first)}.")
        if self.unchanged:
            notes.append(
                f"{pluralize(self.unchanged, 'image')} unchanged except for file times: no bytes are stored again."
            )
        return notes


def find_known_content(tables: Tables, rows: DataFrame) -> DataFrame | None:
    """Return content_hash, path, ingested_at, content_at of all rows of images with the bytes of fetched rows.

    The frame is checkpointed; None without such rows.
    """
    if not tables.exists("images"):
        return None
    hashes = tables.broadcast_keys(rows.where("content_hash is not null").select("content_hash").distinct())
    known = tables.read("images").select("content_hash", *ROW_KEY, "content_at")
    known = tables.materialize(known.join(hashes, "content_hash", "left_semi"))
    return known if known.head(1) else None


def reference_known_content(rows: DataFrame, known: DataFrame | None) -> DataFrame:
    """Replace `content` of fetched rows by content_path and content_at where a known row stores the same bytes."""
    if known is None:
        nulls = (F.lit(None).cast("string").alias("content_path"), F.lit(None).cast("timestamp").alias("content_at"))
        return rows.select("*", *nulls)
    holder = F.min(F.struct("ingested_at", "path")).alias("holder")
    holders = known.where("content_at is null").groupBy("content_hash").agg(holder)
    return (
        rows.join(F.broadcast(holders), "content_hash", "left")
        .withColumn("content", F.when(F.col("holder").isNull(), F.col("content")))
        .withColumn("content_path", F.col("holder.path"))
        .withColumn("content_at", F.col("holder.ingested_at"))
        .drop("holder")
    )


def find_moved(
    tables: Tables, rows: DataFrame, known: DataFrame | None, gone: DataFrame | None, root: str
) -> DataFrame | None:
    """Return the current rows, with `moved_to`, whose path is gone and whose bytes were fetched under another path.

    `gone`: the paths below `root` that a complete listing lacks. Paths of other sources count as gone if they are on
    this machine and do not exist any more. The frame is checkpointed; None without such rows.
    """
    if known is None:
        return None
    fetched = rows.where("content_hash is not null").groupBy("content_hash").agg(F.min("path").alias("moved_to"))
    others = tables.latest_images(known).join(F.broadcast(rows.select("path")), "path", "left_anti")
    others = tables.materialize(others.join(F.broadcast(fetched), "content_hash"))
    elsewhere = others.where(~F.col("path").startswith(root) & F.col("path").startswith(LOCAL_PREFIX)).select("path")
    absent = [(row["path"],) for row in elsewhere.toLocalIterator() if is_absent(row["path"])]
    paths = tables.spark.createDataFrame(absent, "path string")
    if gone is not None:
        paths = paths.unionByName(gone.select("path"))
    moved = tables.materialize(others.join(tables.broadcast_keys(paths), "path", "left_semi"))
    return moved if moved.head(1) else None


def removed_rows(current: DataFrame, now: datetime) -> DataFrame:
    """Return the rows that mark current rows as removed at `now`."""
    return (
        with_reference(current)
        .withColumn("failure", F.lit(str(Failure.VANISHED)))
        .withColumn("failure_detail", F.lit("the file is gone from its source"))
        .withColumn("removed_at", F.lit(now))
        .withColumn("ingested_at", F.lit(now))
        .select(*schemas.parse_ddl(schemas.IMAGES))
    )


def mark_removed(
    tables: Tables, settings: Settings, listing: Listing, changes: Changes, moves: Moves
) -> tuple[list[str], list[str]]:
    """Mark paths that a complete listing lacks, and the rest of folders outside it whose images moved into it.

    Returns the notes on removed rows, and the notes that persist until a person acts.
    """
    current = tables.latest_images()
    done: list[str] = []
    kept: list[str] = []
    if changes.gone is not None:
        suffix = F.lower(F.substring_index("path", ".", -1))  # a listing has no files with other suffixes
        is_allowed = suffix.isin(sorted(allowed_suffixes(settings.sources)))
        gone = tables.materialize(
            current.join(tables.broadcast_keys(changes.gone), "path", "left_semi").where(is_allowed)
        )
        if listing.problems:  # files that could not be listed may exist
            absent = [(row["path"],) for row in gone.select("path").toLocalIterator() if is_absent(row["path"])]
            gone = gone.join(
                tables.broadcast_keys(tables.spark.createDataFrame(absent, "path string")), "path", "left_semi"
            )
        done, kept = _mark_rows(tables, settings, gone, changes.known_count)
    folders = [name for name, _ in moves.left_folders.most_common(MAX_FOLDERS) if is_absent(name)]
    if folders:
        below = reduce(or_, [F.col("path").startswith(name) for name in folders])
        left = tables.materialize(current.where(below))
        more = _mark_rows(tables, settings, left, left.count() + sum(moves.left_folders[name] for name in folders))
        done, kept = done + more[0], kept + more[1]
    return done, kept


def _mark_rows(tables: Tables, settings: Settings, gone: DataFrame, known_count: int) -> tuple[list[str], list[str]]:
    """Mark checkpointed current rows as removed, unless they are too large a fraction: a drive may be missing.

    Rows with the bytes of an image that still exists are marked in any case.
    """
    rules, now = settings.ingest, datetime.now(timezone.utc)
    others = tables.latest_images().join(tables.broadcast_keys(gone.select("path")), "path", "left_anti")
    others = others.join(tables.broadcast_keys(gone.select("content_hash").distinct()), "content_hash", "left_semi")
    lost = tables.materialize(gone.join(others.select("content_hash").distinct(), "content_hash", "left_anti"))
    count, first = lost.agg(F.count("*"), F.min("path")).first()
    if count > rules.max_removed_fraction * known_count:
        gone = gone.join(tables.broadcast_keys(lost.select("path")), "path", "left_anti")
        kept = [
            f"{count:,} of {_images_with_verb(known_count)} gone from the source, first {first}. That is more than "
            f"ingest.max_removed_fraction = {rules.max_removed_fraction:g}, so their rows are kept. Is a drive or "
            "folder missing? If they were deleted on purpose: --set ingest.max_removed_fraction=1."
        ]
    else:
        kept = []
    count, first = gone.agg(F.count("*"), F.min("path")).first()
    if not count:
        return [], kept
    tables.append("images", removed_rows(gone, now), compression="uncompressed")
    sentence = (
        f"{_images_with_verb(count)} gone from the source, first {first}. Training, predictions and report exclude "
        f"them; their bytes are deleted after {rules.keep_removed_days:g} days, or by `irbis clean`."
    )
    return [sentence], kept


def is_absent(path: str) -> bool:
    """Return whether a path of this machine does not exist; False if that cannot be determined."""
    if not path.startswith(LOCAL_PREFIX):
        return False
    try:
        os.lstat(path[len(LOCAL_PREFIX) :])
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def _strip_common_suffix(old: str, new: str) -> str:
    """Return the folder of the old path without the trailing parts that both paths share: `file:///a/survey/`."""
    parts, others = old.split("/"), new.split("/")
    while len(parts) > 3 and others and parts[-1] == others[-1]:
        parts.pop(), others.pop()
    return "/".join(parts) + "/"


def _images_with_verb(count: int) -> str:
    return f"{pluralize(count, 'image')} {'is' if count == 1 else 'are'}"

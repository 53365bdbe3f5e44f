"""Compare a listing with the table images: find new files, removed files, and rows that need an update.

Bursts and groups include removed images, so that the split of a group does not change when one of its frames is
deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from functools import reduce
from operator import and_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.config.settings import Images, Ingest
from pipelines.schemas import Failure
from pipelines.stages.ingest.bursts import UNKNOWN_STATION, assign_bursts, sequence_from_burst_id
from pipelines.workspace.tables import ROW_KEY, Tables, content_ingested_at

BURST_COLUMNS = ["path", "content_hash", "station", "camera", "captured_at", "sequence", "file_series", "file_number"]
SERIES = BURST_COLUMNS[-2:]
CARRIED_COLUMNS = BURST_COLUMNS[2:]  # a listing may set these, but never clears them
HAS_NEIGHBOURS = " or ".join(f"{column} is not null" for column in ("captured_at", "sequence", "station", "camera"))
RULE_REVISION = 2  # of assign_bursts: rows of an earlier revision are updated
TRANSIENT_FAILURES = [str(failure) for failure in Failure if failure.is_transient]


@dataclass(frozen=True)
class Changes:
    """What a listing changes: the new files to fetch, and counts of the rest."""

    new_files: DataFrame  # was_at: the station of the existing row of the path, null without one
    new_count: int
    new_bytes: int  # without files over the size limit, which are not fetched
    stale_count: int  # rows whose label, station, camera, time, sequence or burst rule has changed
    known_count: int = 0  # current rows below the root
    gone: DataFrame | None = None  # paths that the listing lacks; None: there are none
    is_first: bool = False  # there is no table yet


def diff_listing(tables: Tables, names: DataFrame, rules: Ingest, limits: Images, root: str) -> Changes:
    """Compare, in one pass, a listing with the newest rows of the paths below `root`.

    A file is new if its etag differs from the stored one, or if the stored row is a transient failure, or too_large
    under limits that have been raised since.
    """
    if not tables.exists("images"):
        count, size = names.agg(F.count("*"), bytes_to_fetch("size", limits)).first()
        return Changes(names.withColumn("was_at", F.lit(None).cast("string")), count, size, 0, is_first=True)
    listed = names.select(
        "path",
        F.col("etag").alias("listed_etag"),
        F.col("size").alias("listed_size"),
        "says_label",
        *_listing_columns(),
        F.lit(True).alias("listed"),
    )
    # Data files of other sources are skipped: the Delta log has the first and the last path of each file.
    known = tables.latest_images(with_removed=True).where(F.col("path").startswith(root))
    known = known.withColumn("known", F.lit(True))
    known = known.withColumn("sequence", sequence_from_burst_id("burst_id"))
    both = listed.join(known, "path", "full")
    is_listed, is_known = F.col("listed").isNotNull(), F.col("known").isNotNull()
    can_retry = F.col("failure").isin(TRANSIENT_FAILURES) | _fits_raised_limits(limits)
    is_unchanged = (F.col("etag") == F.col("listed_etag")) & ~F.coalesce(can_retry, F.lit(False))
    is_same = reduce(and_, [F.col(column).eqNullSafe(value) for column, value in _target_columns().items()])
    is_same &= F.col("burst_rule").eqNullSafe(burst_rule(rules))
    is_current = is_known & F.col("removed_at").isNull()
    is_new = is_listed & (~is_known | ~is_unchanged)
    marked = both.select(
        "path",
        "listed_size",
        is_new.alias("is_new"),
        is_current.alias("is_current"),
        (is_current & ~is_listed).alias("gone"),
        is_same.alias("same"),
        F.when(is_known, _station_key()).alias("was_at"),
        F.col("label").alias("was_label"),
    )
    marked = marked.persist()
    *counts, gone_count = marked.agg(
        _count(F.col("is_new")),
        bytes_to_fetch(F.when(F.col("is_new"), F.col("listed_size")), limits),
        _count(F.col("is_current") & ~F.col("same")),
        _count(F.col("is_current")),
        _count(F.col("gone")),
    ).first()
    new_files = names.join(marked.where("is_new").select("path", "was_at", "was_label"), "path")
    label = F.when(F.col("says_label"), F.col("label")).otherwise(F.col("was_label"))
    new_files = tables.materialize(new_files.withColumn("label", label).drop("was_label"))
    gone = tables.materialize(marked.where("gone").select("path")) if gone_count else None
    marked.unpersist()
    new_count, new_bytes, stale_count, known_count = counts
    return Changes(new_files, new_count, new_bytes, stale_count, known_count, gone)


def recompute_bursts(
    tables: Tables, rows: DataFrame, names: DataFrame, rules: Ingest, moved: DataFrame | None = None
) -> tuple[DataFrame, DataFrame | None]:
    """Return path, burst_id, group_id of fetched rows and their neighbours, and earlier rows whose burst changed.

    `names` are the fetched files, as in `diff_listing`; `moved` are the rows whose bytes moved to another path. Bursts
    and groups are within one station, so only the stations that rows are added to, or that a changed file has left,
    are recomputed; an image without time, sequence, station and camera is always a burst of its own. The first frame
    also has `is_clock_stuck`; the second has the columns of images without `content`, and new_burst_id, new_group_id.
    Both are persisted. Before the first commit there are no earlier rows.
    """
    if not tables.exists("images"):
        return assign_bursts_by_settings(rows.select(*BURST_COLUMNS), rules).persist(), None
    left_stations = names.where("was_at is not null").select("was_at")
    stations = F.broadcast(rows.select(_station_key()).union(left_stations).distinct())
    current = tables.latest_images(tables.materialize(_rows_at_stations(tables, stations, names)), with_removed=True)
    current = current.withColumn("sequence", sequence_from_burst_id("burst_id")).where(HAS_NEIGHBOURS)
    near = current.withColumn("at", _station_key()).join(stations, "at", "left_semi").drop("at")
    if moved is not None:  # these are in `rows`, under their new paths
        near = near.join(F.broadcast(moved.select("path")), "path", "left_anti")
    frames = rows.select(*BURST_COLUMNS).withColumn("removed_at", F.lit(None).cast("timestamp"))
    frames = frames.unionByName(near.select(*BURST_COLUMNS, "removed_at"))
    bursts = assign_bursts_by_settings(_drop_removed_copies(frames), rules).persist()
    near = near.where("removed_at is null").drop("sequence")
    return bursts, _changed_rows(near, bursts, ["burst_id", "group_id"]).persist()


def _rows_at_stations(tables: Tables, stations: DataFrame, names: DataFrame) -> DataFrame:
    """Return path and ingested_at of all rows at the stations, without the paths of `names`.

    The scan reads only a few columns; the newest row of a path is then looked up among these only.
    """
    rows = tables.read("images").withColumn("sequence", sequence_from_burst_id("burst_id")).where(HAS_NEIGHBOURS)
    rows = rows.select(*ROW_KEY, _station_key()).join(stations, "at", "left_semi")
    return rows.join(F.broadcast(names.select("path")), "path", "left_anti").select(*ROW_KEY)


def append_updates(tables: Tables, names: DataFrame, rules: Ingest) -> int:
    """Append a new row, which refers to the same bytes, for every current image whose values have changed.

    Bursts are recomputed over all images, because a new station or time also affects others. Returns the row count.
    """
    current = tables.latest_images(with_removed=True)
    listed = names.select("path", "says_label", *_listing_columns())
    both = current.join(listed, "path", "left").withColumn("sequence", sequence_from_burst_id("burst_id"))
    values = [value.alias(column) for column, value in _target_columns().items()]
    target = _drop_removed_copies(both.select("path", "content_hash", "removed_at", *values)).drop("removed_at")
    bursts = assign_bursts_by_settings(target, rules).drop("is_clock_stuck")
    target = target.join(bursts, "path").drop("content_hash", "sequence")
    columns = [column for column in target.columns if column != "path"]
    changed = _changed_rows(current.where("removed_at is null"), target, columns).persist()
    if count := changed.count():
        tables.append("images", with_updates(changed, datetime.now(timezone.utc), rules), compression="uncompressed")
    changed.unpersist()
    return count


def with_updates(changed: DataFrame, now: datetime, rules: Ingest) -> DataFrame:
    """Return the rows with their new values, and with a reference to their bytes instead of `content`."""
    rows = with_reference(changed)
    for column in changed.columns:
        if column.startswith("new_"):
            rows = rows.withColumn(column.removeprefix("new_"), F.col(column))
    return rows.withColumn("burst_rule", F.lit(burst_rule(rules))).withColumn("ingested_at", F.lit(now))


def with_reference(rows: DataFrame) -> DataFrame:
    """Add a null `content` and, for rows with bytes, a reference to the row that stores them."""
    has_bytes = F.col("content_hash").isNotNull()
    return (
        rows.withColumn("content", F.lit(None).cast("binary"))
        .withColumn("content_path", F.when(has_bytes, F.coalesce("content_path", "path")))
        .withColumn("content_at", F.when(has_bytes, content_ingested_at()))
    )


def _changed_rows(current: DataFrame, target: DataFrame, columns: list[str]) -> DataFrame:
    """Return the current rows that differ from the target rows of the same path, with the target values as new_*."""
    renamed = target.select("path", *[F.col(column).alias(f"new_{column}") for column in columns])
    is_same = reduce(and_, [F.col(column).eqNullSafe(F.col(f"new_{column}")) for column in columns])
    return current.join(renamed, "path").where(~is_same)


def _drop_removed_copies(frames: DataFrame) -> DataFrame:
    """Leave out removed frames whose bytes exist under another path: one image is not two frames."""
    is_current = F.col("removed_at").isNull()
    current = frames.where(is_current).select("content_hash").distinct()
    return frames.where(is_current).unionByName(frames.where(~is_current).join(current, "content_hash", "left_anti"))


def assign_bursts_by_settings(frames: DataFrame, rules: Ingest) -> DataFrame:
    """Return path, burst_id, group_id and is_clock_stuck, with the gaps of the settings."""
    return assign_bursts(frames, burst_gap_seconds=rules.burst_gap_seconds, group_gap_minutes=rules.group_gap_minutes)


def bytes_to_fetch(size: Column | str, limits: Images) -> Column:
    """Return the sum of the file sizes, without files over the limit, which are not fetched."""
    size = F.col(size) if isinstance(size, str) else size
    return F.coalesce(F.sum(F.when(size <= limits.max_bytes, size)), F.lit(0))


def burst_rule(rules: Ingest) -> str:
    """Return the gaps and the revision as text, stored with each row, so that rows of other settings are updated."""
    return f"{rules.burst_gap_seconds:g} s, {rules.group_gap_minutes:g} min, revision {RULE_REVISION}"


def _fits_raised_limits(limits: Images) -> Column:
    """Return whether a row was too large, but fits these limits; null where its pixels are unknown."""
    bytes_fit, pixels_fit = F.col("size") <= limits.max_bytes, _pixels() <= limits.max_pixels
    fits = F.when(F.col("content_hash").isNull(), bytes_fit).otherwise(bytes_fit & pixels_fit)
    return (F.col("failure") == str(Failure.TOO_LARGE)) & fits


def _pixels() -> Column:
    return F.col("width").cast("long") * F.col("height")


def _station_key() -> Column:
    return F.coalesce("station", F.lit(UNKNOWN_STATION)).alias("at")


def _listing_columns() -> list[Column]:
    return [F.col(column).alias(f"listed_{column}") for column in ("label", *CARRIED_COLUMNS)]


def _target_columns() -> dict[str, Column]:
    """Return the target value of each column: a listing with labels may clear a label, but no other column.

    The file series depends on the rule for labels; the first one found is kept, and with it the group.
    """
    label = F.when(F.col("says_label"), F.col("listed_label")).otherwise(F.col("label"))
    listed = {column: F.coalesce(f"listed_{column}", column) for column in CARRIED_COLUMNS if column not in SERIES}
    return {"label": label, **listed, **{column: F.coalesce(column, f"listed_{column}") for column in SERIES}}


def _count(condition: Column) -> Column:
    return F.coalesce(F.sum(condition.cast("int")), F.lit(0))

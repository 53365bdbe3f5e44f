"""Compare a listing with the table images: what is new, what is gone, and which rows have to be stated anew.

Bursts and groups are found among removed images too, so that the split of a group stays when one of its frames goes.
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
CARRIED_COLUMNS = BURST_COLUMNS[2:]  # what a listing adds to, and never takes away
HAS_NEIGHBOURS = " or ".join(f"{column} is not null" for column in ("captured_at", "sequence", "station", "camera"))
RULE_REVISION = 2  # of assign_bursts: rows of an earlier one are stated anew
TRANSIENT_FAILURES = [str(failure) for failure in Failure if failure.is_transient]


@dataclass(frozen=True)
class Changes:
    """Hold what a listing changes: `fresh` are its names to fetch; counts of the rest."""

    new_files: DataFrame  # was_at: the station of the row that such a name has already, null where it has none
    new_count: int
    new_bytes: int  # of those that are fetched: not over the limit of bytes
    stale_count: int  # rows whose label, station, camera, time, sequence or rule of bursts is another now
    known_count: int = 0  # current rows below the root
    gone: DataFrame | None = None  # path of those that the listing does not name; null: there are none
    is_first: bool = False  # there is no table yet


def diff_listing(tables: Tables, names: DataFrame, rules: Ingest, limits: Images, root: str) -> Changes:
    """Find the changes in one pass between a listing's names and the newest rows of the paths below `root`.

    A name is fresh if its etag is not the stored one, or if what was stored was a failure that has passed: one of
    the moment, or too_large under limits that have been raised.
    """
    if not tables.exists("images"):
        count, size = names.agg(F.count("*"), bytes_to_fetch("size", limits)).first()
        return Changes(names.withColumn("was_at", F.lit(None).cast("string")), count, size, 0, is_first=True)
    told_etag, told_size = F.col("etag").alias("told_etag"), F.col("size").alias("told_size")
    told = names.select("path", told_etag, told_size, "says_label", *_listing_columns(), F.lit(True).alias("listed"))
    # Other sources' rows are skipped by file: the log knows the first and the last path of each.
    known = tables.latest_images(with_removed=True).where(F.col("path").startswith(root))
    known = known.withColumn("known", F.lit(True))
    known = known.withColumn("sequence", sequence_from_burst_id("burst_id"))
    both = told.join(known, "path", "full")
    is_listed, is_known = F.col("listed").isNotNull(), F.col("known").isNotNull()
    has_passed = F.col("failure").isin(TRANSIENT_FAILURES) | _fits_raised_limits(limits)
    is_settled = (F.col("etag") == F.col("told_etag")) & ~F.coalesce(has_passed, F.lit(False))
    is_same = reduce(and_, [F.col(column).eqNullSafe(value) for column, value in _target_columns().items()])
    is_same &= F.col("burst_rule").eqNullSafe(burst_rule(rules))
    is_there = is_known & F.col("removed_at").isNull()
    is_fresh = is_listed & (~is_known | ~is_settled)
    marked = both.select(
        "path",
        "told_size",
        is_fresh.alias("fresh"),
        is_there.alias("there"),
        (is_there & ~is_listed).alias("gone"),
        is_same.alias("same"),
        F.when(is_known, _station_key()).alias("was_at"),
        F.col("label").alias("was_label"),
    )
    marked = marked.persist()
    *counts, gone_count = marked.agg(
        _count(F.col("fresh")),
        bytes_to_fetch(F.when(F.col("fresh"), F.col("told_size")), limits),
        _count(F.col("there") & ~F.col("same")),
        _count(F.col("there")),
        _count(F.col("gone")),
    ).first()
    fresh = names.join(marked.where("fresh").select("path", "was_at", "was_label"), "path")
    label = F.when(F.col("says_label"), F.col("label")).otherwise(F.col("was_label"))
    fresh = tables.materialize(fresh.withColumn("label", label).drop("was_label"))
    gone = tables.materialize(marked.where("gone").select("path")) if gone_count else None
    marked.unpersist()
    fresh_count, fresh_bytes, outdated_count, known_count = counts
    return Changes(fresh, fresh_count, fresh_bytes, outdated_count, known_count, gone)


def recompute_bursts(
    tables: Tables, rows: DataFrame, names: DataFrame, rules: Ingest, moved: DataFrame | None = None
) -> tuple[DataFrame, DataFrame]:
    """Give path, burst_id and group_id of fetched rows and those near them, and earlier rows with another burst now.

    `names` are the fetched ones, as `compare` gives them, `moved` the rows under whose paths the same bytes were. A
    burst and a group lie at one station, so only the stations that rows arrive at, or that a changed file leaves, are
    looked at; an image without time, sequence, station and camera is a burst of its own for ever. The first has
    `is_clock_stuck` too; the second has the columns of images but `content`, and new_burst_id, new_group_id. Both are
    persisted.
    """
    left = names.where("was_at is not null").select("was_at")
    stations = F.broadcast(rows.select(_station_key()).union(left).distinct())
    current = tables.latest_images(tables.materialize(_rows_at_stations(tables, stations, names)), with_removed=True)
    current = current.withColumn("sequence", sequence_from_burst_id("burst_id")).where(HAS_NEIGHBOURS)
    near = current.withColumn("at", _station_key()).join(stations, "at", "left_semi").drop("at")
    if moved is not None:  # they are among the rows, under new paths
        near = near.join(F.broadcast(moved.select("path")), "path", "left_anti")
    frames = rows.select(*BURST_COLUMNS).withColumn("removed_at", F.lit(None).cast("timestamp"))
    frames = frames.unionByName(near.select(*BURST_COLUMNS, "removed_at"))
    bursts = assign_bursts_by_settings(_drop_removed_copies(frames), rules).persist()
    near = near.where("removed_at is null").drop("sequence")
    return bursts, _changed_rows(near, bursts, ["burst_id", "group_id"]).persist()


def _rows_at_stations(tables: Tables, stations: DataFrame, names: DataFrame) -> DataFrame:
    """Give path and ingested_at of rows, the newest or not, with neighbours at one of the stations, but these names'.

    That is one look at a few columns; which row of a path is the newest must then be found for these alone.
    """
    rows = tables.read("images").withColumn("sequence", sequence_from_burst_id("burst_id")).where(HAS_NEIGHBOURS)
    rows = rows.select(*ROW_KEY, _station_key()).join(stations, "at", "left_semi")
    return rows.join(F.broadcast(names.select("path")), "path", "left_anti").select(*ROW_KEY)


def append_updates(tables: Tables, names: DataFrame, rules: Ingest) -> int:
    """Append a new row, which refers to the same bytes, for every current image of which something is another now.

    What an image's new station or time changes about the bursts of others is found among all. Gives the rows' number.
    """
    current = tables.latest_images(with_removed=True)
    told = names.select("path", "says_label", *_listing_columns())
    both = current.join(told, "path", "left").withColumn("sequence", sequence_from_burst_id("burst_id"))
    values = [value.alias(column) for column, value in _target_columns().items()]
    wanted = _drop_removed_copies(both.select("path", "content_hash", "removed_at", *values)).drop("removed_at")
    bursts = assign_bursts_by_settings(wanted, rules).drop("is_clock_stuck")
    wanted = wanted.join(bursts, "path").drop("content_hash", "sequence")
    columns = [column for column in wanted.columns if column != "path"]
    changed = _changed_rows(current.where("removed_at is null"), wanted, columns).persist()
    if count := changed.count():
        tables.append("images", with_updates(changed, datetime.now(timezone.utc), rules), compression="uncompressed")
    changed.unpersist()
    return count


def with_updates(changed: DataFrame, now: datetime, rules: Ingest) -> DataFrame:
    """Return the rows with what is another now, and where their bytes are stored instead of `content`."""
    rows = with_reference(changed)
    for column in changed.columns:
        if column.startswith("new_"):
            rows = rows.withColumn(column.removeprefix("new_"), F.col(column))
    return rows.withColumn("burst_rule", F.lit(burst_rule(rules))).withColumn("ingested_at", F.lit(now))


def with_reference(rows: DataFrame) -> DataFrame:
    """Add to rows without `content` an empty one and, if they have bytes, the row that holds these."""
    has_bytes = F.col("content_hash").isNotNull()
    return (
        rows.withColumn("content", F.lit(None).cast("binary"))
        .withColumn("content_path", F.when(has_bytes, F.coalesce("content_path", "path")))
        .withColumn("content_at", F.when(has_bytes, content_ingested_at()))
    )


def _changed_rows(current: DataFrame, wanted: DataFrame, columns: list[str]) -> DataFrame:
    """Give the current rows that differ from the wanted ones of the same path, with these as new_*."""
    renamed = wanted.select("path", *[F.col(column).alias(f"new_{column}") for column in columns])
    is_same = reduce(and_, [F.col(column).eqNullSafe(F.col(f"new_{column}")) for column in columns])
    return current.join(renamed, "path").where(~is_same)


def _drop_removed_copies(frames: DataFrame) -> DataFrame:
    """Leave out removed frames whose bytes are there under another path: one image is not two frames."""
    is_there = F.col("removed_at").isNull()
    there = frames.where(is_there).select("content_hash").distinct()
    return frames.where(is_there).unionByName(frames.where(~is_there).join(there, "content_hash", "left_anti"))


def assign_bursts_by_settings(frames: DataFrame, rules: Ingest) -> DataFrame:
    """Return path, burst_id, group_id and is_clock_stuck by the gaps of the settings."""
    return assign_bursts(frames, burst_gap_seconds=rules.burst_gap_seconds, group_gap_minutes=rules.group_gap_minutes)


def bytes_to_fetch(size: Column | str, limits: Images) -> Column:
    """Return the sum of the sizes of files but those over the limit, which are not fetched."""
    size = F.col(size) if isinstance(size, str) else size
    return F.coalesce(F.sum(F.when(size <= limits.max_bytes, size)), F.lit(0))


def burst_rule(rules: Ingest) -> str:
    """Name the gaps and the rule, so that another setting is seen on the rows that an earlier one made."""
    return f"{rules.burst_gap_seconds:g} s, {rules.group_gap_minutes:g} min, revision {RULE_REVISION}"


def _fits_raised_limits(limits: Images) -> Column:
    """Say of a row whether it was too large, but is not for these limits; null where its pixels are not known."""
    bytes_fit, pixels_fit = F.col("size") <= limits.max_bytes, _pixels() <= limits.max_pixels
    fits = F.when(F.col("content_hash").isNull(), bytes_fit).otherwise(bytes_fit & pixels_fit)
    return (F.col("failure") == str(Failure.TOO_LARGE)) & fits


def _pixels() -> Column:
    return F.col("width").cast("long") * F.col("height")


def _station_key() -> Column:
    return F.coalesce("station", F.lit(UNKNOWN_STATION)).alias("at")


def _listing_columns() -> list[Column]:
    return [F.col(column).alias(f"told_{column}") for column in ("label", *CARRIED_COLUMNS)]


def _target_columns() -> dict[str, Column]:
    """Return what each column should say: a label is taken away by a listing that speaks of labels, the rest is not.

    The series of files depends on the rule for labels; the one that was found first stays, and with it the group.
    """
    label = F.when(F.col("says_label"), F.col("told_label")).otherwise(F.col("label"))
    told = {column: F.coalesce(f"told_{column}", column) for column in CARRIED_COLUMNS if column not in SERIES}
    return {"label": label, **told, **{column: F.coalesce(column, f"told_{column}") for column in SERIES}}


def _count(condition: Column) -> Column:
    return F.coalesce(F.sum(condition.cast("int")), F.lit(0))

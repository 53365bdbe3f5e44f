"""Find bursts (frames of one trigger) and groups (what must never be split) by time."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

SEQUENCE = "sequence "
UNKNOWN_STATION = "?"


def assign_bursts(frames: DataFrame, *, burst_gap_seconds: float, group_gap_minutes: float) -> DataFrame:
    """Give path, burst_id and group_id for rows of path, content_hash, station, camera, captured_at, sequence.

    A burst is a run of frames of one camera at one station with gaps up to `burst_gap_seconds`, or what the
    labels call one sequence. A group is a run of pictures of one station, whatever the camera, with gaps up to
    `group_gap_minutes` (no less than the burst's): an animal that stays, or that two cameras see, is not a new
    encounter; frames of one burst are always of one group. Without a time both are the content_hash (the path
    where there is none). Names are those of the first frame, so they do not depend on the order in which
    pictures arrive.
    """
    burst = _island(["station", "camera"], burst_gap_seconds)
    group = _island(["station"], max(group_gap_minutes * 60, burst_gap_seconds))
    place = F.coalesce("station", F.lit(UNKNOWN_STATION)).alias("place")
    alone = F.coalesce("content_hash", "path")
    timed = frames.withColumn("seconds", F.col("captured_at").cast("double"))
    starts = timed.select("*", place, burst.alias("burst_start"), group.alias("group_start"))
    first_of_burst = _first(["station", "camera", "burst_number"], "captured_at")
    first_of_group = _first(["station", "group_number"], "captured_at")
    numbered = starts.withColumn("burst_number", _number("burst_start", ["station", "camera"])).withColumn(
        "group_number", _number("group_start", ["station"])
    )
    named = numbered.select(
        "path",
        F.when(F.col("sequence").isNotNull(), F.concat_ws("/", "place", "camera", _named_sequence()))
        .when(F.col("seconds").isNull(), alone)
        .otherwise(F.concat_ws("/", "place", "camera", _stamp(first_of_burst)))
        .alias("burst_id"),
        F.when(F.col("seconds").isNotNull(), F.concat_ws("/", "place", _stamp(first_of_group))).alias("encounter"),
        alone.alias("alone"),
    )
    return _joined(named).select("path", "burst_id", "group_id")


def _joined(named: DataFrame) -> DataFrame:
    """Add group_id: the encounter, and one for all encounters that a given sequence reaches into."""
    burst = Window.partitionBy("burst_id")
    first = named.withColumn("reached", F.min("encounter").over(burst))
    island = F.coalesce("encounter", "reached", "alone")  # frames without a time go with those of their sequence
    whole = first.withColumn("reached", F.min("reached").over(Window.partitionBy(island)))
    group = F.coalesce(F.min("reached").over(burst), F.min("alone").over(burst))
    return whole.withColumn("group_id", group)


def stored_sequence(burst_id: str) -> Column:
    """Give back the sequence that a burst_id was made of, null if it was found by time."""
    match = F.regexp_extract(burst_id, f"/{SEQUENCE}(.*)$", 1)
    return F.when(match != "", match)


def _named_sequence() -> Column:
    return F.concat(F.lit(SEQUENCE), F.col("sequence"))


def _island(keys: list[str], gap_seconds: float) -> Column:
    """Give 1 where a row starts a new run of its keys, else 0; rows without a time sort first."""
    order = Window.partitionBy(*keys).orderBy(F.col("seconds").asc_nulls_first(), "path")
    gap = F.col("seconds") - F.lag("seconds").over(order)
    return F.when(gap <= gap_seconds, 0).otherwise(1)


def _number(start: str, keys: list[str]) -> Column:
    order = Window.partitionBy(*keys).orderBy(F.col("seconds").asc_nulls_first(), "path")
    return F.sum(start).over(order.rowsBetween(Window.unboundedPreceding, 0))


def _first(keys: list[str], column: str) -> Column:
    return F.min(column).over(Window.partitionBy(*keys))


def _stamp(time: Column) -> Column:
    """Give 2014-07-01T15:22:09, the same in every session's time zone: camera clocks are read as UTC."""
    seconds = F.floor(time.cast("double"))
    days = F.date_add(F.lit("1970-01-01").cast("date"), F.floor(seconds / 86400).cast("int"))
    rest = seconds - F.floor(seconds / 86400) * 86400
    clock = F.format_string("%02d:%02d:%02d", F.floor(rest / 3600), F.floor(rest % 3600 / 60), rest % 60)
    return F.concat(days.cast("string"), F.lit("T"), clock)

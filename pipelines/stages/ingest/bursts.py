"""Find bursts (frames of one trigger) and groups (images that must not be split) by station, time and file name.

An unknown value is not a value: images without a station are not of one station, images without a time are not
simultaneous. If neither station nor camera is known, folder and file name are used instead. The name of a group tells
how it was found (`group_basis`).
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipelines.evaluation.group_ids import CAMERA_PREFIX, FILES_PREFIX, NO_TIME_PREFIX

SEQUENCE = "sequence "
UNKNOWN_STATION = "?"
SAME_SECOND = 10  # images of one camera in one second; with more the clock is stuck
NUMBER_STEP = 3  # between the file numbers of a burst's frames: one or two may have been deleted
NUMBER_GAP = 10  # between file numbers of images without a time, beyond which they are not one encounter
FRAMES = """
    path string, content_hash string, station string, camera string, captured_at timestamp, sequence string,
    file_series string, file_number long
"""


def assign_bursts(frames: DataFrame, *, burst_gap_seconds: float, group_gap_minutes: float) -> DataFrame:
    """Return path, burst_id, group_id and is_clock_stuck for rows of FRAMES.

    A burst is a run of frames of one camera at one station with gaps up to `burst_gap_seconds`. Without station and
    camera it is such a run in one series of file names whose numbers follow one another; without a number, in one
    folder. What the labels call one sequence is a burst if it lies in one folder and has no gap longer than
    `group_gap_minutes`.

    A group is a run of images of one station, over all cameras, with gaps up to `group_gap_minutes` (at least the
    burst's): an animal that stays, or that two cameras see, is not a new encounter. Without a station it is a run of
    one camera, without a camera of one series of file names. Frames of one burst are always in one group.

    An image without a time is a burst of its own (its content_hash, or the path where there is none). If its station
    or camera is known, its group is the run of images without a time there whose file numbers follow one another: any
    two of them may show one encounter. Otherwise it is a group of its own. `is_clock_stuck`: the time is not used,
    because more than SAME_SECOND images of the camera have it, or because all times of the camera are midnight.

    Names are those of the first frame, so they do not depend on the order in which images arrive.
    """
    group_gap = max(group_gap_minutes * 60, burst_gap_seconds)
    located = _with_seconds(_with_location(frames))
    bursts = _with_run_starts(located, burst_gap_seconds, group_gap)
    named = bursts.select(
        "path",
        "is_clock_stuck",
        _burst_name().alias("burst_id"),
        _encounter_name().alias("encounter"),
        F.coalesce("content_hash", "path").alias("alone"),
    )
    return _with_group_ids(named).select("path", "burst_id", "group_id", "is_clock_stuck")


def sequence_from_burst_id(burst_id: str) -> Column:
    """Return the sequence in a burst_id, null if the burst was found without one."""
    match = F.regexp_extract(burst_id, f"/{SEQUENCE}(.*)$", 1)
    return F.when(match != "", match)


def _with_location(frames: DataFrame) -> DataFrame:
    """Add `location` (the unit of a group), `series` (null where the camera is known), `folder`, and `number`."""
    files = F.coalesce("file_series", F.lit(""))
    is_located = F.col("station").isNotNull() | F.col("camera").isNotNull()
    by_camera, by_files = F.concat(F.lit(CAMERA_PREFIX), "camera"), F.concat(F.lit(FILES_PREFIX), files)
    return frames.select(
        "*",
        F.when(~is_located, files).alias("series"),
        F.coalesce("station", by_camera, by_files).alias("location"),
        F.when(files.contains("/"), F.regexp_replace(files, "/[^/]*$", "")).alias("folder"),
        F.when(~is_located, F.col("file_number")).alias("number"),
    )


def _with_seconds(frames: DataFrame) -> DataFrame:
    """Add `seconds`, null where the time is unknown or the camera's clock was stuck, and `is_clock_stuck`."""
    time = F.col("captured_at").cast("double")
    camera = ["station", "camera", "series"]
    same, all_times = Window.partitionBy(*camera, F.floor(time)), Window.partitionBy(*camera)
    is_date_only = (F.max(time % 86400).over(all_times) == 0) & (F.count(time).over(all_times) > 1)
    is_stuck = time.isNotNull() & ((F.count("*").over(same) > SAME_SECOND) | is_date_only)
    marked = frames.withColumn("is_clock_stuck", is_stuck)
    return marked.withColumn("seconds", F.when(~F.col("is_clock_stuck"), time))


def _with_run_starts(frames: DataFrame, burst_gap: float, group_gap: float) -> DataFrame:
    """Add the first time and number of each row's burst, sequence and group, by which these are named."""
    camera = ["station", "camera", "series", F.col("sequence").isNull(), F.col("number").isNull()]
    sequence = ["station", "camera", "series", "folder", "sequence"]
    untimed = ["location", "file_series", F.col("seconds").isNull()]
    gap = F.col("seconds") - _previous("seconds", camera, "number", "seconds")
    starts = frames.select("*", _is_ambiguous(burst_gap).alias("is_ambiguous")).select(
        "*",
        _run_starts(gap.between(0, burst_gap) & _is_next_file(camera)).alias("burst_start"),
        _run_starts(_is_within(sequence, group_gap)).alias("part_start"),
        _run_starts(_is_near("seconds", ["location"], group_gap)).alias("stay_start"),
        _run_starts(F.coalesce(_is_near("file_number", untimed, NUMBER_GAP), F.lit(True))).alias("walk_start"),
    )
    numbered = starts.select(
        "*",
        _run_number("burst_start", camera, "number", "seconds").alias("burst"),
        _run_number("part_start", sequence, "seconds").alias("part"),
        _run_number("stay_start", ["location"], "seconds").alias("stay"),
        _run_number("walk_start", untimed, "file_number").alias("walk"),
    )
    return numbered.select(
        "*",
        _first("seconds", [*camera, "burst"]).alias("burst_time"),
        _first("number", [*camera, "burst"]).alias("burst_file"),
        _first("seconds", [*sequence, "part"]).alias("part_time"),
        _first("seconds", ["location", "stay"]).alias("stay_time"),
        _first("file_number", [*untimed, "walk"]).alias("walk_file"),
    )


def _is_ambiguous(burst_gap: float) -> Column:
    """Return whether another image of the series has the same number at about the same time: files of two cameras."""
    same_number = Window.partitionBy("series", "number").orderBy("seconds")
    seconds = F.col("seconds")
    is_near = (seconds - F.lag("seconds").over(same_number) <= burst_gap) | (
        F.lead("seconds").over(same_number) - seconds <= burst_gap
    )
    return F.col("number").isNotNull() & F.coalesce(is_near, F.lit(False))


def _is_next_file(camera: list[str | Column]) -> Column:
    """Return whether a file may be the next one of the same camera; always true where the camera is known."""
    step = F.col("number") - _previous("number", camera, "number", "seconds")
    is_clear = ~F.col("is_ambiguous") & ~_previous("is_ambiguous", camera, "number", "seconds")
    by_name = F.coalesce(step.between(1, NUMBER_STEP) & is_clear, F.col("folder").isNotNull())
    return F.when(F.col("series").isNull(), True).otherwise(by_name)


def _burst_name() -> Column:
    camera = F.when(F.col("station").isNotNull(), F.col("camera"))
    folder = F.when(F.col("series").isNull(), F.col("folder"))  # otherwise the location has it
    sequence = F.concat(F.lit(SEQUENCE), F.col("sequence"))
    has_name = F.col("number").isNotNull() & ~F.col("is_ambiguous")
    is_alone = F.col("series").isNotNull() & ~has_name & (F.col("number").isNotNull() | F.col("folder").isNull())
    alone = F.coalesce("content_hash", "path")
    return (
        F.when(
            F.col("sequence").isNotNull(),
            F.concat_ws("/", "location", camera, folder, _format_time("part_time"), sequence),
        )
        .when(F.col("seconds").isNull() | is_alone, alone)
        .otherwise(F.concat_ws("/", "location", camera, F.col("burst_file").cast("string"), _format_time("burst_time")))
    )


def _encounter_name() -> Column:
    """Return the group of a row by time or by file order; null where it has neither."""
    first_file = F.concat_ws("", F.lit(NO_TIME_PREFIX), "file_series", F.col("walk_file").cast("string"))
    in_order = F.concat_ws("/", "location", first_file)
    is_located, has_sequence = F.col("series").isNull(), F.col("sequence").isNotNull()
    return F.when(F.col("seconds").isNotNull(), F.concat_ws("/", "location", _format_time("stay_time"))).when(
        is_located & ~has_sequence, in_order
    )


def _with_group_ids(named: DataFrame) -> DataFrame:
    """Add group_id: the encounter; encounters that one sequence spans are merged."""
    burst = Window.partitionBy("burst_id")
    first = named.withColumn("reached", F.min("encounter").over(burst))
    island = F.coalesce("encounter", "reached", "alone")  # frames without a time join those of their sequence
    whole = first.withColumn("reached", F.min("reached").over(Window.partitionBy(island)))
    group = F.coalesce(F.min("reached").over(burst), F.min("alone").over(burst))
    return whole.withColumn("group_id", group)


def _previous(column: str, keys: list[str | Column], *order: str) -> Column:
    return F.lag(column).over(Window.partitionBy(*keys).orderBy(*_sort_columns(*order)))


def _is_near(column: str, keys: list[str | Column], gap: float) -> Column:
    return F.col(column) - _previous(column, keys, column) <= gap


def _is_within(keys: list[str | Column], gap: float) -> Column:
    """Return whether a row is in the same part of a sequence as the previous row; rows without a time sort first."""
    return F.coalesce(_is_near("seconds", keys, gap), _previous("path", keys, "seconds").isNotNull())


def _run_starts(is_next: Column) -> Column:
    """Return 1 where a row starts a new run, else 0."""
    return F.when(is_next, 0).otherwise(1)


def _run_number(start: str, keys: list[str | Column], *order: str) -> Column:
    window = Window.partitionBy(*keys).orderBy(*_sort_columns(*order))
    return F.sum(start).over(window.rowsBetween(Window.unboundedPreceding, 0))


def _sort_columns(*columns: str) -> list[Column]:
    return [*(F.col(column).asc_nulls_first() for column in columns), F.col("path")]


def _first(column: str, keys: list[str | Column]) -> Column:
    return F.min(column).over(Window.partitionBy(*keys))


def _format_time(column: str) -> Column:
    """Return 2014-07-01T15:22:09, independent of the session's time zone: camera clocks are read as UTC."""
    seconds = F.floor(F.col(column))
    days = F.date_add(F.lit("1970-01-01").cast("date"), F.floor(seconds / 86400).cast("int"))
    rest = seconds - F.floor(seconds / 86400) * 86400
    clock = F.format_string("%02d:%02d:%02d", F.floor(rest / 3600), F.floor(rest % 3600 / 60), rest % 60)
    return F.when(seconds.isNotNull(), F.concat(days.cast("string"), F.lit("T"), clock))

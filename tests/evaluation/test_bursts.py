"""Bursts and groups on rows made by hand: a picture's path, when and where it was taken, and what it belongs to."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from pyspark.sql import functions as F

from pipelines.evaluation.bursts import assign_bursts, stored_sequence
from pipelines.platform.queries import sql_conf
from pipelines.storage.labels import read_labels

START = datetime(2014, 7, 1, 15, 22, 0, tzinfo=timezone.utc)
COLUMNS = "path string, content_hash string, station string, camera string, captured_at timestamp, sequence string"
Frame = tuple[str, Any, Any, Any, Any, Any]


def frame(
    path: str,
    seconds: float | None = None,
    camera: str | None = "a",
    *,
    station: str | None = "S",
    sequence: Any = None,
) -> Frame:
    time = None if seconds is None else START + timedelta(seconds=seconds)
    return (path, f"hash of {path}", station, camera, time, sequence)


def assigned(spark: Any, *frames: Frame, burst: float = 60, group: float = 30) -> dict[str, tuple[str, str]]:
    """Give path -> burst_id and group_id."""
    rows = spark.createDataFrame(list(frames), COLUMNS)
    found = assign_bursts(rows, burst_gap_seconds=burst, group_gap_minutes=group).collect()
    assert len(found) == len(frames)
    return {row["path"]: (row["burst_id"], row["group_id"]) for row in found}


def test_a_gap_up_to_the_limit_is_of_one_burst_and_up_to_the_coarser_limit_of_one_group(spark):
    assert assigned(
        spark,
        frame("0", 0),
        frame("1", 60),
        frame("2", 120),
        frame("3", 181),
        frame("4", 181 + 1800),
        frame("5", 181 + 3601),
        frame("6", 0, station="T"),
        frame("7", 0, station=None, camera=None),
        frame("8", 30, station=None, camera=None),
    ) == {
        "0": ("S/a/2014-07-01T15:22:00", "S/2014-07-01T15:22:00"),
        "1": ("S/a/2014-07-01T15:22:00", "S/2014-07-01T15:22:00"),
        "2": ("S/a/2014-07-01T15:22:00", "S/2014-07-01T15:22:00"),
        "3": ("S/a/2014-07-01T15:25:01", "S/2014-07-01T15:22:00"),
        "4": ("S/a/2014-07-01T15:55:01", "S/2014-07-01T15:22:00"),
        "5": ("S/a/2014-07-01T16:25:02", "S/2014-07-01T16:25:02"),
        "6": ("T/a/2014-07-01T15:22:00", "T/2014-07-01T15:22:00"),
        "7": ("?/2014-07-01T15:22:00", "?/2014-07-01T15:22:00"),
        "8": ("?/2014-07-01T15:22:00", "?/2014-07-01T15:22:00"),
    }


def test_two_cameras_that_face_each_other_have_bursts_of_their_own_and_one_group(spark):
    found = assigned(spark, frame("a1", 0), frame("b1", 1, "b"), frame("a2", 2), frame("b2", 1900, "b"))
    assert found == {
        "a1": ("S/a/2014-07-01T15:22:00", "S/2014-07-01T15:22:00"),
        "a2": ("S/a/2014-07-01T15:22:00", "S/2014-07-01T15:22:00"),
        "b1": ("S/b/2014-07-01T15:22:01", "S/2014-07-01T15:22:00"),
        "b2": ("S/b/2014-07-01T15:53:40", "S/2014-07-01T15:53:40"),
    }


def test_without_a_time_a_picture_is_alone_with_its_copies(spark):
    copy = ("copy", "hash of 1", "T", None, None, None)
    unread = ("unread", None, "S", "a", None, None)
    found = assigned(spark, frame("1"), copy, unread, frame("2"), frame("3", 5))
    assert found["1"] == found["copy"] == ("hash of 1", "hash of 1")
    assert found["2"] == ("hash of 2", "hash of 2")
    assert found["unread"] == ("unread", "unread")
    assert found["3"] == ("S/a/2014-07-01T15:22:05", "S/2014-07-01T15:22:05")


def test_a_given_sequence_is_the_burst_and_never_on_two_sides(spark):
    found = assigned(
        spark,
        frame("1", 0, sequence="7"),
        frame("2", 5, sequence="8"),
        frame("3", 4000, sequence="8"),
        frame("4", 4010, sequence="9"),
        frame("5", sequence="9"),
        frame("6", 9000, sequence="9", camera="b"),
        frame("7", sequence="10"),
        frame("8", sequence="10"),
    )
    first = "S/2014-07-01T15:22:00"
    assert found == {
        "1": ("S/a/sequence 7", first),
        "2": ("S/a/sequence 8", first),
        "3": ("S/a/sequence 8", first),
        "4": ("S/a/sequence 9", first),  # at the same time as 3
        "5": ("S/a/sequence 9", first),  # without a time, but of one sequence with 4
        "6": ("S/b/sequence 9", "S/2014-07-01T17:52:00"),
        "7": ("S/a/sequence 10", "hash of 7"),
        "8": ("S/a/sequence 10", "hash of 7"),
    }


def test_a_burst_is_of_one_group_even_if_the_gap_of_groups_is_the_smaller(spark):
    found = assigned(spark, frame("1", 0), frame("2", 45), frame("3", 50, "b"), burst=60, group=0)
    assert {group for _, group in found.values()} == {"S/2014-07-01T15:22:00"}


def test_names_do_not_depend_on_the_order_of_arrival(spark):
    frames = [frame(str(n), 40 * n + 1000 * (n // 5), "ab"[n % 2]) for n in range(20)]
    expected = assigned(spark, *frames)
    random.Random(1).shuffle(frames)
    assert assigned(spark, *frames) == expected


def test_a_late_frame_before_the_first_gives_the_burst_its_name(spark):
    assert assigned(spark, frame("2", 30), frame("3", 60))["3"][0] == "S/a/2014-07-01T15:22:30"
    late = assigned(spark, frame("2", 30), frame("3", 60), frame("1", -0.25))
    assert late["3"] == late["1"] == ("S/a/2014-07-01T15:21:59", "S/2014-07-01T15:21:59")


def test_the_time_zone_of_the_session_does_not_matter(spark):
    frames = [frame("1", 0), frame("2", 60), frame("old", -2_000_000_000), frame("leap", 51_580_800)]
    expected = assigned(spark, *frames)
    with sql_conf(spark, spark__sql__session__timeZone="America/Lima"):
        assert assigned(spark, *frames) == expected
    assert expected["old"][0] == "S/a/1951-02-14T11:48:40"
    assert expected["leap"][0] == "S/a/2016-02-18T15:22:00"


def test_a_sequence_is_read_back_from_the_name_of_its_burst(spark):
    names = [("S/a/sequence 7",), ("S/sequence x/y 8",), ("S/a/2014-07-01T15:22:00",), ("abc",), (None,)]
    rows = spark.createDataFrame(names, "burst_id string").select(stored_sequence("burst_id").alias("sequence"))
    assert [row["sequence"] for row in rows.collect()] == ["7", "x/y 8", None, None, None]


@pytest.mark.parametrize(("gap", "count"), [(30, 37), (60, 36)])  # two triggers are 55 s apart
def test_bursts_of_a_real_set_are_found_by_time_alone(spark, shared_data, gap, count):
    table = read_labels(str(shared_data / "cameratrap_peru_sdzg/labels.csv"))
    rows = spark.createDataFrame(
        [
            (path, path, station, camera, time.to_pydatetime(), None)
            for path, station, camera, time in zip(
                table["path"], table["station"], table["camera"], table["captured_at"], strict=True
            )
        ],
        COLUMNS,
    )
    found = assign_bursts(rows, burst_gap_seconds=gap, group_gap_minutes=30).toPandas().merge(table, on="path")
    assert found["burst_id"].nunique() == count
    assert found.groupby("sequence")["burst_id"].nunique().max() == 1
    if gap == 30:
        assert found.groupby("burst_id")["sequence"].nunique().max() == 1
        assert set(found.groupby("burst_id").size()) == {3}
    assert found.groupby("burst_id")["group_id"].nunique().max() == 1
    assert found.groupby("group_id")["camera"].nunique().max() == 2


def test_rows_without_anything_give_no_bursts(spark):
    rows = spark.createDataFrame([], COLUMNS)
    assert assign_bursts(rows, burst_gap_seconds=60, group_gap_minutes=30).agg(F.count("*")).first()[0] == 0

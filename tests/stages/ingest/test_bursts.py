"""Bursts and groups of hand-made rows: path, time and place of an image, and its burst and group."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from pyspark.sql import functions as F

from pipelines.evaluation.group_ids import group_basis
from pipelines.sources.labels import read_labels
from pipelines.spark.runtime import sql_conf
from pipelines.stages.ingest.bursts import FRAMES, assign_bursts
from tests.stages.ingest.frames import assigned, frame, nowhere


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
        nowhere("7", 0),
        nowhere("8", 30),
    ) == {
        "0": ("S/a/2014-07-01T15:22:00", "S/2014-07-01T15:22:00"),
        "1": ("S/a/2014-07-01T15:22:00", "S/2014-07-01T15:22:00"),
        "2": ("S/a/2014-07-01T15:22:00", "S/2014-07-01T15:22:00"),
        "3": ("S/a/2014-07-01T15:25:01", "S/2014-07-01T15:22:00"),
        "4": ("S/a/2014-07-01T15:55:01", "S/2014-07-01T15:22:00"),
        "5": ("S/a/2014-07-01T16:25:02", "S/2014-07-01T16:25:02"),
        "6": ("T/a/2014-07-01T15:22:00", "T/2014-07-01T15:22:00"),
        "7": ("?/files /7/2014-07-01T15:22:00", "?/files /2014-07-01T15:22:00"),
        "8": ("?/files /7/2014-07-01T15:22:00", "?/files /2014-07-01T15:22:00"),
    }


def test_two_cameras_that_face_each_other_have_bursts_of_their_own_and_one_group(spark):
    found = assigned(spark, frame("a1", 0), frame("b1", 1, "b"), frame("a2", 2), frame("b2", 1900, "b"))
    assert found == {
        "a1": ("S/a/2014-07-01T15:22:00", "S/2014-07-01T15:22:00"),
        "a2": ("S/a/2014-07-01T15:22:00", "S/2014-07-01T15:22:00"),
        "b1": ("S/b/2014-07-01T15:22:01", "S/2014-07-01T15:22:00"),
        "b2": ("S/b/2014-07-01T15:53:40", "S/2014-07-01T15:53:40"),
    }


def test_images_without_a_time_are_alone_but_of_one_group_where_the_camera_is_known(spark):
    found = assigned(
        spark,
        frame("IMG_0001"),
        frame("IMG_0011"),
        frame("IMG_0022"),  # eleven files later
        frame("DSC_0001"),
        frame("IMG_0003", camera=None),
        frame("IMG_0001 ", 5),
        nowhere("IMG_0007"),
        nowhere("IMG_0008"),
    )
    assert {path: burst for path, (burst, _) in found.items() if path != "IMG_0001 "} == {
        path: f"hash of {path}" for path in found if path != "IMG_0001 "
    }
    assert {path: group for path, (_, group) in found.items()} == {
        "IMG_0001": "S/no time IMG_1",
        "IMG_0003": "S/no time IMG_1",
        "IMG_0011": "S/no time IMG_1",
        "IMG_0022": "S/no time IMG_22",
        "DSC_0001": "S/no time DSC_1",
        "IMG_0001 ": "S/2014-07-01T15:22:05",
        "IMG_0007": "hash of IMG_0007",
        "IMG_0008": "hash of IMG_0008",
    }


def test_copies_without_a_time_are_of_one_burst_and_group(spark):
    copy = ("copy", "hash of 1", None, None, None, None, "", None)
    unread = ("unread", None, None, None, None, None, "", None)
    found = assigned(spark, nowhere("1"), copy, unread)
    assert found == {
        "1": ("hash of 1", "hash of 1"),
        "copy": ("hash of 1", "hash of 1"),
        "unread": ("unread", "unread"),
    }


def test_a_stuck_clock_joins_no_images(spark):
    still = [frame(f"IMG_{n:04d}", 0.9) for n in range(11)]
    ten = [frame(f"IMG_{n:04d}", 0, "b") for n in range(100, 110)]
    found = assigned(spark, *still, *ten)
    assert {burst for path, (burst, _) in found.items() if path < "IMG_0100"} == {f"hash of {row[0]}" for row in still}
    assert {group for path, (_, group) in found.items() if path < "IMG_0100"} == {"S/no time IMG_0"}
    assert {found[row[0]] for row in ten} == {("S/b/2014-07-01T15:22:00", "S/2014-07-01T15:22:00")}
    rows = assign_bursts(spark.createDataFrame([*still, *ten], FRAMES), burst_gap_seconds=60, group_gap_minutes=30)
    assert rows.where("is_clock_stuck").count() == 11


def test_midnight_throughout_is_a_day_without_a_time(spark):
    midnight = -(15 * 3600 + 22 * 60)  # from START
    days = [frame(f"IMG_{n:04d}", midnight + 86400 * (n // 5)) for n in range(10)]
    found = assigned(spark, *days, frame("IMG_0010", midnight, "b"), frame("IMG_0011", 10, "b"), group=1)
    assert all(found[row[0]][0] == f"hash of {row[0]}" for row in days)
    assert found["IMG_0010"] == ("S/b/2014-07-01T00:00:00", "S/2014-07-01T00:00:00")


def test_without_station_and_camera_file_names_tell_the_cameras_apart(spark):
    found = assigned(
        spark,
        nowhere("CAM1_0001", 0),
        nowhere("CAM2_0001", 1),
        nowhere("CAM1_0002", 2),
        nowhere("CAM2_0004", 3),
        nowhere("CAM1_0006", 4),  # four files later
        nowhere("CAM2_0005", 64),  # too late for the burst
        nowhere("noname", 5),
        nowhere("noname too", 5),
    )
    assert {path: burst for path, (burst, _) in found.items()} == {
        "CAM1_0001": "?/files CAM1_/1/2014-07-01T15:22:00",
        "CAM1_0002": "?/files CAM1_/1/2014-07-01T15:22:00",
        "CAM1_0006": "?/files CAM1_/6/2014-07-01T15:22:04",
        "CAM2_0001": "?/files CAM2_/1/2014-07-01T15:22:01",
        "CAM2_0004": "?/files CAM2_/1/2014-07-01T15:22:01",
        "CAM2_0005": "?/files CAM2_/5/2014-07-01T15:23:04",
        "noname": "hash of noname",
        "noname too": "hash of noname too",
    }
    assert {group for _, group in found.values()} == {
        "?/files CAM1_/2014-07-01T15:22:00",
        "?/files CAM2_/2014-07-01T15:22:01",
        "?/files noname/2014-07-01T15:22:05",
        "?/files noname too/2014-07-01T15:22:05",
    }


@pytest.mark.parametrize("later", [0, 0.5, 15])
def test_two_cameras_that_number_their_files_alike_are_not_one(spark, later):
    """Both were sorted into one folder by label: the same numbers, seconds apart."""
    frames = [nowhere(f"IMG_{n:04d}", n) for n in range(3)]
    others = [("b/" + row[0], row[1] + "b", *row[2:4], row[4] + timedelta(seconds=later), *row[5:]) for row in frames]
    found = assigned(spark, *frames, *others)
    assert len({burst for burst, _ in found.values()}) == 6


def test_files_without_a_number_are_bursts_in_their_folder(spark):
    found = assigned(spark, nowhere("S1/20240501_060000", 0), nowhere("S1/20240501_060001", 1), nowhere("S2/x", 1))
    assert found == {
        "S1/20240501_060000": ("?/files S1//2014-07-01T15:22:00", "?/files S1//2014-07-01T15:22:00"),
        "S1/20240501_060001": ("?/files S1//2014-07-01T15:22:00", "?/files S1//2014-07-01T15:22:00"),
        "S2/x": ("?/files S2/x/2014-07-01T15:22:01", "?/files S2/x/2014-07-01T15:22:01"),
    }


def test_a_known_camera_replaces_its_station(spark):
    found = assigned(spark, frame("1", 0, station=None), frame("2", 1, "b", station=None), frame("3", station=None))
    assert found == {
        "1": ("?/camera a/2014-07-01T15:22:00", "?/camera a/2014-07-01T15:22:00"),
        "2": ("?/camera b/2014-07-01T15:22:01", "?/camera b/2014-07-01T15:22:01"),
        "3": ("hash of 3", "?/camera a/no time 3"),
    }


def test_a_group_says_what_it_rests_on(spark):
    names = {
        "S/2014-07-01T15:22:00": "station",
        "?/camera a/2014-07-01T15:22:00": "camera",
        "?/files S1/IMG_/2014-07-01T15:22:00": "file name",
        "S/no time IMG_1": "file order",
        "?/camera a/no time 3": "file order",
        "0" * 64: "image",
    }
    rows = spark.createDataFrame([(name,) for name in names], "group_id string")
    found = rows.select("group_id", group_basis(F.col("group_id")).alias("basis")).collect()
    assert {row["group_id"]: row["basis"] for row in found} == names


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


# Two triggers are 55 s apart: by time alone they are one burst of 60 s, and the labels file says that they are two.
@pytest.mark.parametrize(("gap", "with_sequence", "count"), [(30, False, 37), (60, False, 36), (60, True, 37)])
def test_bursts_of_a_real_set_are_the_sequences_that_people_found(spark, shared_data, gap, with_sequence, count):
    table = read_labels(str(shared_data / "cameratrap_peru_sdzg/labels.csv"))
    columns = (table[name] for name in ("path", "station", "camera", "captured_at", "sequence"))
    rows = spark.createDataFrame(
        [
            (path, path, station, camera, time.to_pydatetime(), sequence if with_sequence else None, None, None)
            for path, station, camera, time, sequence in zip(*columns, strict=True)
        ],
        FRAMES,
    )
    found = assign_bursts(rows, burst_gap_seconds=gap, group_gap_minutes=30).toPandas().merge(table, on="path")
    assert found["burst_id"].nunique() == count
    assert found.groupby("sequence")["burst_id"].nunique().max() == 1
    if count == 37:
        assert found.groupby("burst_id")["sequence"].nunique().max() == 1
        assert set(found.groupby("burst_id").size()) == {3}
    assert found.groupby("burst_id")["group_id"].nunique().max() == 1
    assert found.groupby("group_id")["camera"].nunique().max() == 2


def test_rows_without_anything_give_no_bursts(spark):
    rows = spark.createDataFrame([], FRAMES)
    assert assign_bursts(rows, burst_gap_seconds=60, group_gap_minutes=30).agg(F.count("*")).first()[0] == 0

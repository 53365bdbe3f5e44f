"""Bursts from the sequences of a labels file, and from times that say nothing."""

from __future__ import annotations

from pipelines.stages.ingest.bursts import sequence_from_burst_id
from tests.stages.ingest.frames import assigned, frame, nowhere


def test_a_given_sequence_is_the_burst_and_never_on_two_sides(spark):
    found = assigned(
        spark,
        frame("1", 0, sequence="7"),
        frame("2", 1700, sequence="8"),
        frame("3", 3400, sequence="8"),
        frame("4", 3410, sequence="9"),
        frame("5", sequence="9"),
        frame("6", 9000, sequence="9", camera="b"),
        frame("7", sequence="10"),
        frame("8", sequence="10"),
    )
    first = "S/2014-07-01T15:22:00"
    assert found == {
        "1": ("S/a/2014-07-01T15:22:00/sequence 7", first),
        "2": ("S/a/2014-07-01T15:50:20/sequence 8", first),
        "3": ("S/a/2014-07-01T15:50:20/sequence 8", first),
        "4": ("S/a/2014-07-01T16:18:50/sequence 9", first),  # at the same time as 3
        "5": ("S/a/2014-07-01T16:18:50/sequence 9", first),  # without a time, but of one sequence with 4
        "6": ("S/b/2014-07-01T17:52:00/sequence 9", "S/2014-07-01T17:52:00"),
        "7": ("S/a/sequence 10", "hash of 7"),
        "8": ("S/a/sequence 10", "hash of 7"),
    }


def test_one_sequence_id_used_again_is_not_one_sequence(spark):
    found = assigned(
        spark,
        frame("100EK/IMG_1", 0, sequence="0"),
        frame("100EK/IMG_2", 1800, sequence="0"),
        frame("100EK/IMG_3", 3601, sequence="0"),  # a second longer than groups hold together
        frame("101EK/IMG_1", 2, sequence="0"),
        nowhere("A/IMG_1", 0, sequence="0"),
        nowhere("B/IMG_1", 1, sequence="0"),
        nowhere("A/IMG_2", 2, sequence="0"),
    )
    assert {path: burst for path, (burst, _) in found.items()} == {
        "100EK/IMG_1": "S/a/100EK/2014-07-01T15:22:00/sequence 0",
        "100EK/IMG_2": "S/a/100EK/2014-07-01T15:22:00/sequence 0",
        "100EK/IMG_3": "S/a/100EK/2014-07-01T16:22:01/sequence 0",
        "101EK/IMG_1": "S/a/101EK/2014-07-01T15:22:02/sequence 0",
        "A/IMG_1": "?/files A/IMG_/2014-07-01T15:22:00/sequence 0",
        "A/IMG_2": "?/files A/IMG_/2014-07-01T15:22:00/sequence 0",
        "B/IMG_1": "?/files B/IMG_/2014-07-01T15:22:01/sequence 0",
    }


def test_a_sequence_is_read_back_from_the_name_of_its_burst(spark):
    names = [("S/a/sequence 7",), ("S/sequence x/y 8",), ("S/a/2014-07-01T15:22:00",), ("abc",), (None,)]
    rows = spark.createDataFrame(names, "burst_id string").select(sequence_from_burst_id("burst_id").alias("sequence"))
    assert [row["sequence"] for row in rows.collect()] == ["7", "x/y 8", None, None, None]

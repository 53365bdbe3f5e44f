"""The side of a group is a hash: these values hold on every Spark, cluster and day."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from pyspark.sql import functions as F

from pipelines.evaluation.split import (
    assign_split,
    conflicting_labels,
    count_by_split,
    find_split,
    labelled_images,
    split_size,
)

FRACTIONS = [0.7, 0.1, 0.2]
KNOWN = {
    "a": "train",  # 285,796 of 1,000,000
    "g": "validation",  # 715,373
    "": "validation",  # 796,051
    "S90/2014-07-01T15:22:09": "test",  # 874,927
    "Jaguaré": "test",  # 992,074
}


def sides(spark: Any, groups: list[str], fractions: list[float] = FRACTIONS, salt: str = "irbis") -> dict[str, str]:
    rows = spark.createDataFrame([(group,) for group in groups], "group_id string")
    return dict(rows.select("group_id", assign_split(F.col("group_id"), fractions, salt)).collect())


def by_hand(group: str, fractions: list[float] = FRACTIONS, salt: str = "irbis") -> str:
    place = int(hashlib.sha256(f"{salt}:{group}".encode()).hexdigest()[:12], 16) % 1_000_000
    if place < round(fractions[0] * 1_000_000):
        return "train"
    return "validation" if place < round((fractions[0] + fractions[1]) * 1_000_000) else "test"


def test_known_groups_are_on_known_sides(spark):
    assert sides(spark, [*KNOWN]) == KNOWN


def test_a_split_has_its_fractions_and_is_the_hash_that_is_written_down(spark):
    groups = [f"S{n % 40}/2014-07-{n % 28 + 1:02}T{n}" for n in range(20_000)]
    found = sides(spark, groups)
    assert found == {group: by_hand(group) for group in groups}
    assert found == {group: find_split(group, FRACTIONS, "irbis") for group in groups}
    shares = [list(found.values()).count(side) / 20_000 for side in ("train", "validation", "test")]
    assert shares == pytest.approx(FRACTIONS, abs=0.01)  # three standard errors


def test_a_group_stays_on_its_side_whatever_arrives(spark):
    before = sides(spark, ["a", "b", "c"])
    after = sides(spark, [f"new {n}" for n in range(1000)] + ["c", "b", "a"])
    assert {group: after[group] for group in before} == before


def test_another_salt_is_another_split(spark):
    groups = [str(n) for n in range(1000)]
    one, other = sides(spark, groups), sides(spark, groups, salt="other")
    assert 0.35 < sum(one[group] != other[group] for group in groups) / 1000 < 0.57  # 1 - .49 - .01 - .04 = .46


IMAGES = "path string, content_hash string, label string, group_id string, burst_id string, failure string"


def images(spark: Any) -> Any:
    rows = [
        ("1", "x", "cat", "g1", "b1", None),
        ("2", "y", "dog", "g2", "b2", None),
        ("3", "y", "cat", "g3", "b3", None),  # the bytes of 2 under another label
        ("5", "z", "dog", "g5", "b5", None),
        ("4", "z", "dog", "g4", "b4", None),  # a copy
        ("6", "w", None, "g6", "b6", None),
        ("7", "z", None, "g7", "b7", None),
        ("8", "v", "unsure", "g8", "b8", None),
        ("9", "e", "cat", "g9", "b9", "empty"),
        ("10", "e", "dog", "g10", "b10", "empty"),  # empty files are all the same
        ("11", None, "cat", "g11", "b11", "vanished"),
    ]
    return spark.createDataFrame(rows, IMAGES)


def test_identical_bytes_under_two_labels_are_found(spark):
    found = [tuple(row) for row in conflicting_labels(images(spark)).collect()]
    assert found == [("y", ["cat", "dog"], ["2", "3"])]


def test_each_readable_labelled_image_is_one_training_row(spark):
    found = labelled_images(images(spark), ["unsure"]).orderBy("path")
    assert found.columns == ["content_hash", "path", "label", "group_id", "burst_id"]
    assert [tuple(row) for row in found.collect()] == [("x", "1", "cat", "g1", "b1"), ("z", "4", "dog", "g4", "b4")]
    kept = labelled_images(images(spark)).select("path").collect()
    assert sorted(row["path"] for row in kept) == ["1", "4", "8"]


def test_images_and_groups_are_counted_by_class_and_split(spark):
    rows = [("hare", "a", "train")] * 3 + [("hare", "b", "train"), ("fox", "a", "train"), ("fox", "c", "test")]
    labels, groups, splits = zip(*rows, strict=True)
    found = count_by_split(labels, splits, groups)
    assert found == {"fox": {"test": (1, 1), "train": (1, 1)}, "hare": {"train": (4, 2)}}
    assert [split_size(found, split) for split in ("train", "validation", "test")] == [5, 0, 1]

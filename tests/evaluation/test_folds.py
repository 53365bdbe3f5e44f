"""Folds: groups dealt out by their hash, every label in turn."""

from __future__ import annotations

from collections import Counter

import pytest

from pipelines.evaluation.folds import assign_folds, in_fold


@pytest.fixture(scope="module")
def frames(spark):
    """Return 3 frames of each of 40 groups of hares and 7 of lynxes."""
    rows = [(f"{label}{group}", label, f"{label}{group}-{frame}") for label, group, frame in _frames()]
    return spark.createDataFrame(rows, "group_id string, label string, content_hash string").repartition(3).cache()


def _frames():
    for label, groups in (("hare", 40), ("lynx", 7)):
        for group in range(groups):
            for frame in range(3):
                yield label, group, frame


def folds_of(rows, unit="group_id"):
    return {(row["label"], row[unit], row["fold"]) for row in rows.collect()}


def test_a_group_is_in_one_fold_and_every_fold_has_its_share_of_every_label(frames):
    found = folds_of(assign_folds(frames, 5, "irbis"))
    assert len(found) == 47
    assert sorted(Counter(fold for label, _, fold in found if label == "hare").values()) == [8] * 5
    assert sorted(Counter(fold for label, _, fold in found if label == "lynx").values()) == [1, 1, 1, 2, 2]
    assert {fold for *_, fold in found} == {0, 1, 2, 3, 4}


def test_folds_are_the_same_whatever_the_order_and_others_with_another_salt(frames):
    one, again = folds_of(assign_folds(frames, 5, "irbis")), folds_of(assign_folds(frames.coalesce(1), 5, "irbis"))
    assert one == again
    assert one != folds_of(assign_folds(frames, 5, "another"))


def test_a_group_with_two_labels_is_in_one_fold(spark):
    rows = spark.createDataFrame([("g", "hare"), ("g", "lynx"), ("h", "lynx")], "group_id string, label string")
    found = assign_folds(rows, 2, "irbis")
    assert found.count() == 3
    assert found.select("group_id", "fold").distinct().count() == 2


def test_folds_of_single_images_are_like_a_random_split(frames):
    found = assign_folds(frames, 5, "irbis", unit="content_hash")
    sides = Counter(group for _, group, _ in {(r["label"], r["group_id"], r["fold"]) for r in found.collect()})
    assert max(sides.values()) == 3  # frames of one group on three sides
    assert found.where(in_fold(0)).count() == pytest.approx(141 / 5, abs=2)


def test_groups_of_a_rare_label_are_spread_although_they_hold_a_frequent_one_too(spark):
    rows = [(f"{kind}{n}", "blank") for kind in ("plain", "mixed") for n in range(4 if kind == "mixed" else 40)]
    rows += [(f"mixed{n}", "serval") for n in range(4)]
    found = assign_folds(spark.createDataFrame(rows, "group_id string, label string"), 4, "irbis")
    assert {row["fold"] for row in found.where("label = 'serval'").collect()} == {0, 1, 2, 3}

"""A training set: what is known of each image on the driver, features in the order of its rows."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.classifiers.training_set import TrainingSet
from pipelines.errors import DataError

COLUMNS = "content_hash string, features array<float>, flipped array<float>, label string, burst_id string, "
COLUMNS += "group_id string, split string, path string, captured_at timestamp"


@pytest.fixture(scope="module")
def rows(spark):
    table = [
        (f"{n:02}", [float(n), -0.5], [0.25, float(n)] if n % 2 else None, "ab"[n % 2], f"b{n}", f"S/{n // 2}", *rest)
        for n, rest in ((n, (("train", "test")[n % 3 == 0], f"/pics/{n}.jpg", None)) for n in range(12))
    ]
    return TrainingSet.collect(spark.createDataFrame(table[::-1], COLUMNS).repartition(3))


def test_rows_are_ordered_by_content_and_features_follow_them(rows):
    assert rows.column("content_hash").tolist() == [f"{n:02}" for n in range(12)]
    assert rows.column("basis").tolist() == ["station"] * 12
    assert np.isnan(rows.images["captured_at"].to_numpy(np.float64)).all()
    plain, flipped = rows.arrays()
    assert plain.dtype == np.float32
    assert plain.tolist() == [[float(n), -0.5] for n in range(12)]
    assert flipped[1::2].tolist() == [[0.25, float(n)] for n in range(1, 12, 2)]
    assert np.isnan(flipped[::2]).all()


def test_parts_have_their_own_rows_and_features(rows):
    test = rows.in_split("test")
    assert (len(test), test.count_groups(), test.classes) == (4, 4, ["a", "b"])
    assert test.arrays()[0][:, 0].tolist() == [0.0, 3.0, 6.0, 9.0]
    assert rows.with_labels(["b"]).labels == ["b"] * 6
    assert len(rows.in_split()) == 0


def test_only_the_features_of_a_part_are_fetched_while_none_are_loaded(rows):
    rows.store.release()
    assert rows.in_split("test").plain_features()[:, 0].tolist() == [0.0, 3.0, 6.0, 9.0]
    assert not rows.store.is_loaded
    rows.arrays()
    assert rows.store.is_loaded


def test_a_part_with_its_folds_is_a_dataframe_too(rows):
    part = rows.with_folds(2, "irbis").in_split("test")
    found = {row["content_hash"]: (row["fold"], row["features"]) for row in part.to_dataframe().collect()}
    expected = zip(part.column("content_hash"), part.folds, part.arrays()[0].tolist(), strict=True)
    assert found == {name: (fold, features) for name, fold, features in expected}
    assert rows.in_split().to_dataframe().count() == 0


def test_the_values_of_both_views_count_and_small_sets_are_not_asked_for_their_number(rows, monkeypatch):
    rows.store.release()
    store = TrainingSet.collect(rows.store.rows).store
    assert store.fits(12 * 2 * 8192)
    assert "length" not in store.__dict__
    assert store.fits(12 * 2 * 2) and not store.fits(12 * 2 * 2 - 1)
    assert store.length == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_refused_with_the_image(spark, value):
    table = [("a", [1.0, 2.0], "fox", "b", "g"), ("b", [1.0, value], "hare", "b", "g")]
    columns = "content_hash string, features array<float>, label string, burst_id string, group_id string"
    with pytest.raises(DataError, match=r"content hash b are not finite .*Remove the image's label"):
        TrainingSet.collect(spark.createDataFrame(table, columns)).arrays()

"""Metrics of a random split beside those of a split by groups."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.classifiers.training_set import TrainingSet
from pipelines.errors import DataError
from pipelines.stages.train.compare_splits import compare_splits, compare_splits_report, format_comparison


@pytest.fixture(scope="module")
def series(spark):
    """Return 24 groups of 6 near copies: each group has its own features, which are independent of the label."""
    random, rows = np.random.default_rng(5), []
    for group in range(24):
        own = random.normal(size=12)
        for frame in range(6):
            features = [float(each) for each in own + random.normal(size=12) * 0.01]
            rows.append((f"{group}-{frame}", features, ("blank", "hare")[group % 2], f"b{group}", f"g{group}"))
    columns = "content_hash string, features array<float>, label string, burst_id string, group_id string"
    return TrainingSet.collect(spark.createDataFrame(rows, columns))


@pytest.fixture
def settings(make_settings):
    return make_settings({"train.reg_params": 0.01, "train.bootstrap_resamples": 100, "train.cv_folds": 4}).train


def test_near_copies_are_known_again_in_a_random_split_and_not_by_groups(series, settings):
    found = compare_splits(series, settings)
    random, grouped = (found[name].metrics["accuracy"].value for name in ("frames at random", "groups"))
    assert random > 0.95 and grouped < 0.75
    assert [each.rows for each in found.values()] == [144, 144]
    lines = format_comparison(found, {"blank": 12, "hare": 12}).splitlines()
    assert lines[0] == "144 images in 24 groups; 95% intervals over groups"
    assert lines[2].split() == ["frames", "at", "random", "groups", "overestimate"]
    assert lines[3].startswith("accuracy") and lines[3].endswith(f"+{random - grouped:.3f}")
    assert lines[-1] == "In fewer than 20 groups, so that their metrics are unreliable: blank (12), hare (12)."


def test_groups_that_a_model_chose_are_not_evaluated(series, settings):
    is_chosen = series.images["group_id"].isin([f"g{n}" for n in range(8)])
    found = compare_splits(series.assign(is_model_chosen=is_chosen), settings)
    assert [(each.rows, each.groups) for each in found.values()] == [(96, 16), (96, 16)]


def test_features_of_another_backbone_are_an_error(spark, trained):
    other = trained.model_copy(update={"featurize": trained.featurize.model_copy(update={"backbone": "raw_pixels"})})
    with pytest.raises(DataError, match=r"No labelled image has features of raw_pixels@none.* --backbone raw"):
        compare_splits_report(spark, other)


def test_one_class_is_no_comparison(series, settings):
    with pytest.raises(DataError, match="have 1 classes and 12 groups"):
        compare_splits(series.with_labels(["hare"]), settings)

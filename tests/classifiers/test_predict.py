"""Predictions for labelled images: which rows come to the driver, and the probability of labels that are not known."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.classifiers.distributed import fit_with_validation
from pipelines.classifiers.predict import predict_labelled

CLASSES = ["plain", "striped"]
SCHEMA = "features array<float>, label string, burst_id string, group_id string"


@pytest.fixture(scope="module")
def rows(spark):
    """Return 180 rows in 60 groups of three frames, two overlapping classes."""
    random, rows = np.random.default_rng(5), []
    for group in range(60):
        for _ in range(3):
            features = [float(value) for value in random.normal(size=2) + 2 * (group % 2)]
            rows.append((features, CLASSES[group % 2], f"burst {group}", f"group {group}"))
    return spark.createDataFrame(rows, SCHEMA).cache()


@pytest.fixture
def model(rows, make_settings):
    settings = make_settings({"train.reg_params": [0.01], "train.max_iter": 6}).train
    return fit_with_validation(rows, rows.limit(0), CLASSES, settings).model


def test_the_driver_gets_whole_groups_and_no_more_than_it_can_hold(model, rows, monkeypatch):
    whole = predict_labelled(model, rows, CLASSES)
    assert len(whole.labels) == rows.count() == 180
    monkeypatch.setattr("pipelines.classifiers.predict.MAX_ROWS", 90)
    part = predict_labelled(model, rows, CLASSES)
    assert 45 < len(part.labels) < 135
    assert {group: part.groups.count(group) for group in set(part.groups)} == dict.fromkeys(set(part.groups), 3)
    again = predict_labelled(model, rows, CLASSES)
    assert sorted(again.groups) == sorted(part.groups)


def test_labels_that_the_model_was_not_trained_on_have_the_probability_0(model, rows):
    found = predict_labelled(model, rows, CLASSES).with_classes(["lynx", *CLASSES])
    assert found.classes == ("lynx", "plain", "striped")
    assert found.probabilities[:, 0].tolist() == [0.0] * 180
    assert found.probabilities.sum(axis=1) == pytest.approx(1)
    assert predict_labelled(model, rows.where("label = 'none'"), CLASSES) is None

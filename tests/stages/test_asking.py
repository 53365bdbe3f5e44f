"""What a model says about labelled images."""

from __future__ import annotations

import pytest

from pipelines.classifiers.predict import predict_labelled
from pipelines.stages.train import training_data
from pipelines.tracking.mlflow_client import Tracking
from pipelines.workspace.tables import Tables


def test_the_driver_gets_whole_groups_and_no_more_than_it_can_hold(spark, trained, monkeypatch):
    version = Tracking.of(trained).champion()
    model = Tracking.of(trained).load(version)
    rows = training_data.training_rows(Tables.of(spark, trained), trained, version.tags["backbone"]).cache()
    whole = predict_labelled(model, rows, version.classes)
    assert len(whole.labels) == rows.count() == 180
    monkeypatch.setattr("pipelines.classifiers.predict.MAX_ROWS", 90)
    part = predict_labelled(model, rows, version.classes)
    assert 45 < len(part.labels) < 135
    assert {group: part.groups.count(group) for group in set(part.groups)} == {
        group: whole.groups.count(group) for group in set(part.groups)
    }
    again = predict_labelled(model, rows, version.classes)
    assert sorted(again.groups) == sorted(part.groups)


def test_labels_that_the_model_was_not_taught_have_the_probability_0(spark, trained):
    version = Tracking.of(trained).champion()
    model = Tracking.of(trained).load(version)
    rows = training_data.training_rows(Tables.of(spark, trained), trained, version.tags["backbone"])
    found = predict_labelled(model, rows, version.classes, among=["lynx", *version.classes])
    assert found.classes == ("lynx", "plain", "striped")
    assert found.probabilities[:, 0].tolist() == [0.0] * 180
    assert found.probabilities.sum(axis=1) == pytest.approx(1)
    assert predict_labelled(model, rows.where("label = 'none'"), version.classes) is None

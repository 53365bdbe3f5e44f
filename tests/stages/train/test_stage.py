from __future__ import annotations

import re

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.sql import functions as F

from pipelines.classifiers.predict import predict_labelled
from pipelines.classifiers.training_set import TrainingSet
from pipelines.errors import DataError
from pipelines.evaluation.predictions import choose_temperature
from pipelines.evaluation.results import Evaluation
from pipelines.evaluation.review_policy import OperatingPointResult, ReviewPolicy
from pipelines.stages.train import stage as train
from pipelines.stages.train import training_data
from pipelines.stages.train.fit import fit_cross_validated
from pipelines.tracking.mlflow_client import EVALUATION, Tracking
from pipelines.workspace.tables import Tables

from ..conftest import changed


def test_the_first_version_is_champion_and_tells_what_it_is(spark, trained):
    tracking = Tracking.of(trained)
    champion = tracking.champion()
    assert (champion.version, champion.classes, champion.tags["gate"]) == (
        "1",
        ["plain", "striped"],
        "is champion: the first version",
    )
    assert champion.tags["backbone"].startswith("irbis_tiny@")
    evaluations = tracking.read_json(champion, EVALUATION)
    test = Evaluation.from_dict(evaluations["test"])
    assert test.is_grouped and test.metrics["accuracy"].value == champion.metrics["accuracy"] > 0.9
    params = tracking.params(champion)
    assert params["table_version.images"] == "0" and params["train.max_iter"] == "100"
    rows = training_data.training_rows(Tables.of(spark, trained), trained, champion.tags["backbone"])
    sides = rows.groupBy("group_id").agg(F.countDistinct("split").alias("sides")).agg(F.max("sides"))
    assert sides.first()[0] == 1
    assert test.rows == rows.where("split = 'test'").count()


def test_what_is_decided_is_kept_with_the_version(trained):
    tracking = Tracking.of(trained)
    champion = tracking.champion()
    decision = ReviewPolicy.from_json(champion.tags["review_policy"])
    evaluations, params = tracking.read_json(champion, EVALUATION), tracking.params(champion)
    assert decision.classes_of_interest == ("plain", "striped")
    assert float(params["burst_vote.max_weight"]) == decision.max_weight
    reviews = [OperatingPointResult.from_dict(each) for each in evaluations["operating_points"]]
    assert tuple(review.point for review in reviews) == decision.operating_points
    assert len(reviews) == 2 * 3 * 2
    metrics = tracking.client.get_run(champion.run_id).data.metrics
    first = reviews[0]
    assert metrics[f"review.plain.{first.point.unit}.{first.point.recall:g}.share"] == first.share.value
    assert metrics["test_burst.accuracy"] == Evaluation.from_dict(evaluations["burst_test"]).metrics["accuracy"].value
    assert metrics["test.calibration_error.before"] == evaluations["calibration"]["error_before"]
    card = tracking.client.get_model_version("irbis", "1").description
    assert re.search(r"striped +99% +bursts +0\.\d\d", card)


def test_probabilities_are_calibrated_on_what_was_held_out(spark, trained):
    tracking = Tracking.of(trained)
    champion = tracking.champion()
    rows = training_data.training_rows(Tables.of(spark, trained), trained, champion.tags["backbone"])
    training = TrainingSet.collect(rows).in_split("train", "validation")
    predictions = fit_cross_validated(training, champion.classes, trained.train, trained.train.cv_folds).predictions
    assert len(predictions.labels) == len(training)
    assert float(tracking.params(champion)["temperature"]) == pytest.approx(choose_temperature(predictions), rel=1e-3)


def test_without_folds_the_one_split_calibrates_and_its_temperature_stays_in_the_registry(spark, settings):
    trained = changed(settings, "train", cv_folds=0)
    train.run(spark, trained)
    tracking = Tracking.of(trained)
    champion = tracking.champion()
    rows = training_data.training_rows(Tables.of(spark, trained), trained, champion.tags["backbone"])
    model, held = tracking.load(champion), rows.where("split = 'validation'")
    *steps, last = model.stages
    temperature = float(tracking.params(champion)["temperature"])
    assert (type(last).__name__, last.getOrDefault(last.temperature)) == ("TemperatureScaling", temperature)
    predictions = predict_labelled(PipelineModel(steps), held, champion.classes)
    assert temperature == pytest.approx(choose_temperature(predictions), rel=1e-3)
    calibrated = predict_labelled(model, held, champion.classes)
    by_group = [
        list(each.probabilities[np.lexsort((each.probabilities[:, 0], each.groups))])
        for each in (predictions.with_temperature(temperature), calibrated)
    ]
    assert np.array(by_group[0]) == pytest.approx(np.array(by_group[1]), abs=1e-9)


def test_a_class_of_interest_that_nothing_is_labelled_is_refused(spark, settings):
    with pytest.raises(DataError, match=r"names lynx, .* plain, striped"):
        train.run(spark, changed(settings, "train", classes_of_interest=["striped", "lynx"]))


def test_a_label_to_exclude_that_no_image_has_is_refused(spark, settings):
    with pytest.raises(DataError) as raised:
        train.run(spark, changed(settings, "train", exclude_labels=["stripes", "plain"]))
    assert "train.exclude_labels names stripes (did you mean striped?)" in str(raised.value)


def test_training_on_the_same_again_does_nothing(spark, trained):
    again = train.run(spark, trained)
    assert (again.read, again.written) == (0, 0)
    assert len(Tracking.of(trained).versions()) == 1

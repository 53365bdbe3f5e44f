from __future__ import annotations

import re

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.sql import functions as F

from pipelines.classifiers.predict import predict_labelled
from pipelines.classifiers.training_set import TrainingSet
from pipelines.errors import DataError
from pipelines.evaluation.predictions import choose_temperature, choose_views
from pipelines.evaluation.results import Evaluation
from pipelines.evaluation.review_policy import OperatingPointResult, ReviewPolicy
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.ingest import stage as ingest
from pipelines.stages.train import stage as train
from pipelines.stages.train import training_data
from pipelines.stages.train.fit import fit_cross_validated
from pipelines.tracking.mlflow_client import CHAMPION, EVALUATION, Tracking
from pipelines.workspace.tables import Tables

from ..conftest import changed, jpeg


def test_the_first_version_is_champion_and_tells_what_it_is(spark, settings):
    result = train.run(spark, settings)
    assert (result.read, result.written) == (180, 1)
    tracking = Tracking.of(settings)
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
    assert params["table_version.images"] == "0" and params["train.max_iter"] == "6"
    rows = training_data.training_rows(Tables.of(spark, settings), settings, champion.tags["backbone"])
    sides = rows.groupBy("group_id").agg(F.countDistinct("split").alias("sides")).agg(F.max("sides"))
    assert sides.first()[0] == 1
    assert test.rows == rows.where("split = 'test'").count()


def test_what_is_decided_is_kept_with_the_version(spark, settings):
    trained = changed(settings, "train", fractions=[0.4, 0.3, 0.3])
    assert train.run(spark, trained).notes == ()
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


def test_a_class_of_which_too_few_groups_were_held_out_is_named(spark, settings):
    (note,) = train.run(spark, changed(settings, "train", classes_of_interest=["striped"])).notes
    assert note.startswith(
        "fewer than 100 groups of striped were held out, too few for an operating point at recall 0.99"
    )


def test_a_class_of_interest_that_nothing_is_labelled_is_refused(spark, settings):
    with pytest.raises(DataError, match=r"names lynx, .* plain, striped"):
        train.run(spark, changed(settings, "train", classes_of_interest=["striped", "lynx"]))


def test_a_label_to_exclude_that_no_image_has_is_refused(spark, settings):
    with pytest.raises(DataError) as raised:
        train.run(spark, changed(settings, "train", exclude_labels=["stripes", "plain"]))
    assert "train.exclude_labels names stripes (did you mean striped?)" in str(raised.value)


def test_a_label_without_features_yet_may_be_excluded_and_twins_in_case_are_refused(spark, settings, draw):
    ingest.run(spark, changed(settings, "sources", images=str(draw({"unsure/new.jpg": jpeg(99, 5)}))))
    tables, sound = Tables.of(spark, settings), training_data.require_consistent_labels
    table = [(name, [1.0], label, name, name) for name, label in zip("abc", ("fox", "Fox", "fox"), strict=True)]
    columns = "content_hash string, features array<float>, label string, burst_id string, group_id string"
    rows = TrainingSet.collect(spark.createDataFrame(table, columns))
    with pytest.raises(DataError, match=r"'Fox' \(1 images\) and 'fox' \(2 images\)\. Give each.*ingest their sources"):
        sound(tables, rows, changed(settings, "train", exclude_labels=["unsure"]))
    sound(tables, rows.with_labels(["fox"]), changed(settings, "train", exclude_labels=["unsure"]))
    sound(tables, rows, changed(settings, "sources", label_case="keep"))


def test_flipped_images_are_trained_on_and_predicted_if_they_have_features(spark, trained):
    flipped = changed(trained, "featurize", horizontal_flip=True)
    featurize.run(spark, flipped)
    tables, tracking = Tables.of(spark, flipped), Tracking.of(flipped)
    rows = training_data.training_rows(tables, flipped, tracking.champion().tags["backbone"])
    assert rows.where("flipped is not null").count() == rows.count() == 180
    training = TrainingSet.collect(rows).in_split("train", "validation")
    predictions = fit_cross_validated(training, ["plain", "striped"], flipped.train, 2).predictions
    assert predictions.flipped.shape == predictions.probabilities.shape
    assert np.abs(predictions.flipped - predictions.probabilities).max() > 1e-6
    result = train.run(spark, flipped)
    assert result.read == 180  # images, not views
    version = tracking.versions()[0]
    decision = ReviewPolicy.from_json(version.tags["review_policy"])
    assert decision.average_flip == choose_views(predictions)[0]
    assert tracking.params(version)["average_flip"] == str(decision.average_flip)
    assert (
        "trained on flipped images too, predictions "
        in tracking.client.get_model_version("irbis", version.version).description
    )
    assert train.run(spark, flipped).written == 0


def test_training_on_the_same_again_does_nothing(spark, trained):
    again = train.run(spark, trained)
    assert (again.read, again.written) == (0, 0)
    assert len(Tracking.of(trained).versions()) == 1


def test_a_version_without_a_gate_decision_is_trained_again(spark, trained):
    tracking = Tracking.of(trained)
    version = tracking.champion()
    tracking.client.delete_model_version_tag("irbis", version.version, "irbis.gate")  # killed before the gate
    tracking.delete_alias(CHAMPION)
    train.run(spark, trained)
    assert [each.version for each in tracking.versions()] == ["2"]
    assert tracking.champion().version == "2"


def test_too_little_data_is_counted_in_the_error(spark, make_settings, draw):
    one = make_settings(
        {"sources.images": str(draw({"hare/a.jpg": jpeg(80, 1)}, "one")), "workspace": str(draw({}, "w"))}
    )
    with pytest.raises(DataError, match=r"There is no table features"):
        train.run(spark, one)
    ingest.run(spark, one)
    featurize.run(spark, one)
    with pytest.raises(
        DataError, match=r"only one class, 'hare' \(. groups in train, . groups in validation, . groups in"
    ):
        train.run(spark, one)
    draw({"fox/b.jpg": jpeg(90, 2)}, "one")
    ingest.run(spark, one)
    featurize.run(spark, one)
    with pytest.raises(DataError) as error:
        train.run(spark, one)
    (fault,) = error.value.faults
    assert ": fox, hare. " in fault

"""Trainings of other kinds: flipped images, excluded labels, too little data, an unfinished version."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.classifiers.training_set import TrainingSet
from pipelines.errors import DataError
from pipelines.evaluation.predictions import choose_views
from pipelines.evaluation.review_policy import ReviewPolicy
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.ingest import stage as ingest
from pipelines.stages.train import stage as train
from pipelines.stages.train import training_data
from pipelines.stages.train.fit import fit_cross_validated
from pipelines.tracking.mlflow_client import CHAMPION, Tracking
from pipelines.workspace.tables import Tables

from ..conftest import changed, jpeg


def test_a_class_of_which_too_few_groups_were_held_out_is_named(spark, settings):
    (note,) = train.run(spark, changed(settings, "train", classes_of_interest=["striped"])).notes
    assert note.startswith(
        "fewer than 100 groups of striped were held out, too few for an operating point at recall 0.99"
    )


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

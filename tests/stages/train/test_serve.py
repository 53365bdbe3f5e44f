"""Train registers a second model, which predicts images as score predicts their features."""

from __future__ import annotations

from urllib.parse import unquote, urlparse

import pytest
from pyspark.sql import functions as F

from pipelines.serving.predictor import Predictor
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.score import stage as score
from pipelines.stages.train import serve
from pipelines.stages.train import stage as train
from pipelines.tracking.mlflow_client import Tracking
from pipelines.tracking.served_files import open_served_model, predictor_folder
from pipelines.workspace.tables import Tables

from ..conftest import changed


def assert_serves_as_score(spark, settings, min_scores: int = 20) -> None:
    """Compare the served model of the champion with the table predictions, image by image."""
    score.run(spark, settings)
    version = Tracking.of(settings).get_version(settings.score.model_version)
    table = Tables.of(spark, settings).read("predictions").where(f"model_version = '{version.version}'")
    rows = table.orderBy("path").collect()
    with open_served_model(settings) as (served, folder), Predictor.load(predictor_folder(folder)) as predictor:
        assert served.version == version.version
        paths = [unquote(urlparse(row["path"]).path) for row in rows]
        predictions = predictor.predict(paths, [row["burst_id"] for row in rows])
    assert len(rows) == 181
    for row, found in zip(rows, predictions, strict=True):
        for name in ("prediction", "burst_prediction", "needs_review", "failure", "model_version"):
            assert getattr(found, name) == row[name], row["path"]
        # The set is easy: small probabilities, compared by their digits, tell images apart.
        assert found.probabilities == pytest.approx(row["probabilities"] or {}, rel=1e-6, abs=1e-13)
        assert found.score == (row["score"] if row["failure"] else pytest.approx(row["score"], abs=1e-6))
        assert found.burst_score == (row["score"] if row["failure"] else pytest.approx(row["burst_score"], abs=1e-6))
    assert sum(bool(row["failure"]) for row in rows) == 1
    assert len({row["score"] for row in rows if row["score"]}) >= min_scores


def test_the_served_model_of_the_champion_predicts_as_score(spark, trained):
    assert_serves_as_score(spark, trained)


@pytest.mark.parametrize("interest", [["striped"], ["plain"]])
def test_needs_review_follows_the_operating_points_and_classes_without_one(spark, settings, interest):
    chosen = changed(settings, "train", classes_of_interest=interest, burst_aggregation="max")
    chosen = changed(chosen, "score", target_recall=0.95 if interest == ["plain"] else 0.99)
    train.run(spark, chosen)
    assert_serves_as_score(spark, chosen)


@pytest.mark.full
@pytest.mark.parametrize(
    ("backbone", "classifier", "pca_components"),
    [("irbis_tiny+raw_pixels", "random_forest", None), ("irbis_tiny", "logistic_regression", 8)],
)
def test_joined_backbones_flips_components_and_8_bits_are_served(spark, settings, backbone, classifier, pca_components):
    chosen = changed(settings, "featurize", backbone=backbone, horizontal_flip=True, precision="fast")
    chosen = changed(chosen, "train", classifier=classifier, pca_components=pca_components, num_trees=10)
    featurize.run(spark, chosen)
    train.run(spark, chosen)
    assert_serves_as_score(spark, chosen, min_scores=1 if classifier == "random_forest" else 20)


def test_a_version_that_cannot_be_served_is_registered_with_a_note(spark, settings, monkeypatch):
    def refuse(feature_id, version):
        raise serve.UserError(f"{version} looks at crops.")

    monkeypatch.setattr(serve, "require_whole_views", refuse)
    result = train.run(spark, settings)
    assert "no model for endpoints was registered: irbis/1 looks at crops." in result.notes
    assert Tracking.of(settings).champion().version == "1"


def test_a_training_killed_before_the_gate_leaves_no_served_model_without_a_version(spark, settings, monkeypatch):
    from pipelines.stages.train import register

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(register, "apply_gate", killed)
        train.run(spark, settings)
    train.run(spark, settings)
    tracking = Tracking.of(settings)
    (version,) = tracking.versions()
    (served,) = tracking.client.search_model_versions("name='irbis_serving'")
    assert version.tags["served_version"] == str(served.version)
    assert tracking.client.get_model_version_by_alias("irbis_serving", "champion").version == served.version


@pytest.mark.full
@pytest.mark.process
def test_mlflows_spark_udf_predicts_as_score(spark, trained):
    import mlflow

    score.run(spark, trained)
    tables = Tables.of(spark, trained)
    with open_served_model(trained) as (_, folder):
        predict = mlflow.pyfunc.spark_udf(spark, str(folder), env_manager="local")
        images = tables.read("images").where("content is not null").select("path", F.base64("content").alias("image"))
        found = {row["path"]: row["found"] for row in images.select("path", predict("image").alias("found")).collect()}
    rows = tables.read("predictions").where("failure is null").collect()
    assert {row["path"] for row in rows} == set(found) and len(rows) == 180
    for row in rows:
        served = found[row["path"]]
        assert (served["prediction"], served["failure"], served["model_version"]) == (row["prediction"], "", "1")
        assert served["probabilities"] == pytest.approx(row["probabilities"], abs=1e-6)
        assert served["score"] == pytest.approx(row["score"], abs=1e-6)

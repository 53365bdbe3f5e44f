"""The head of a served model predicts as the Spark pipeline that it was extracted from."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import Bucketizer
from pyspark.sql import Row

from pipelines.classifiers import export_head as module
from pipelines.classifiers.distributed import fit_with_validation
from pipelines.classifiers.export_head import export_head, forest_from_rows
from pipelines.classifiers.solvers import choose_solver
from pipelines.classifiers.training_set import TrainingSet
from pipelines.classifiers.transformers import VECTOR, predict_probabilities, with_temperature_scaling
from pipelines.errors import ModelError
from pipelines.serving.head import Head

from .separable_rows import CLASSES, separable_rows


@pytest.fixture(scope="module")
def rows(spark):
    return separable_rows(spark, 150)


def assert_equal(model, rows, tmp_path) -> Head:
    """Compare the head, as loaded from its file, with its pipeline."""
    export_head(model, str(tmp_path)).save(tmp_path / "head.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["head.npz"]  # the forest's files are gone
    head = Head.load(tmp_path / "head.npz")
    found = predict_probabilities(model, rows.orderBy("number")).collect()
    features, expected = (np.array([row[name] for row in found]) for name in ("features", "probability"))
    np.testing.assert_allclose(head.predict(features.astype(np.float32)), expected, rtol=0, atol=1e-12)
    assert np.ptp(expected[:, 0]) > 0.02
    return head


@pytest.mark.parametrize("temperature", [0.7, 15.0])
@pytest.mark.parametrize("components", [None, 4])
@pytest.mark.parametrize("classifier", ["logistic_regression", "random_forest"])
def test_probabilities_equal_those_of_the_pipeline(rows, make_settings, tmp_path, classifier, components, temperature):
    values = {"classifier": classifier, "pca_components": components, "reg_params": [0.001], "num_trees": 12}
    settings = make_settings({f"train.{name}": value for name, value in values.items()}).train
    fitted = fit_with_validation(rows, rows.limit(0), CLASSES, settings).model
    head = assert_equal(with_temperature_scaling(fitted, temperature), rows, tmp_path)
    assert (head.projection is not None, head.temperature) == (components is not None, temperature)


def test_a_binomial_model_has_two_classes(rows, tmp_path):
    two = VECTOR.transform(
        rows.where("label <> 'fox'").selectExpr("number", "features", "double(label = 'deer') label")
    )
    fitted = LogisticRegression(featuresCol="vector", family="binomial", regParam=0.01).fit(two)
    assert assert_equal(PipelineModel(stages=[VECTOR, fitted]), rows, tmp_path).classes == 2


def test_a_fit_in_memory_is_exported_as_any_other(rows, make_settings, tmp_path):
    settings = make_settings({"train.reg_params": [0.01]}).train
    table = rows.selectExpr("*", "string(number) content_hash", "string(number) burst_id", "string(number) group_id")
    training = TrainingSet.collect(table)
    solver = choose_solver(training, settings)
    assert solver.name == "in memory"
    fit = solver.fit_with_validation(training, training.where(np.zeros(len(training), bool)), CLASSES, settings)
    assert_equal(fit.classifier.to_pipeline(), rows, tmp_path)


def test_what_irbis_does_not_train_is_refused(rows, tmp_path):
    foreign = Bucketizer(splits=[0, 1, 2], inputCol="number", outputCol="x")
    with pytest.raises(ModelError, match="cannot have a stage Bucketizer"):
        export_head(SimpleNamespace(stages=[foreign]), str(tmp_path))
    with pytest.raises(ModelError, match="has no classifier"):
        export_head(SimpleNamespace(stages=[VECTOR]), str(tmp_path))


def test_a_forest_that_cannot_be_read_leaves_no_files(rows, make_settings, tmp_path, monkeypatch):
    settings = make_settings({"train.classifier": "random_forest", "train.num_trees": 2}).train
    model = fit_with_validation(rows, rows.limit(0), CLASSES, settings).model
    monkeypatch.setattr(module, "forest_from_rows", lambda rows: pytest.fail("broken"))
    with pytest.raises(pytest.fail.Exception):
        export_head(model, str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_leaves_are_normalised_by_tree_and_an_empty_one_counts_nothing():
    split = Row(featureIndex=2, leftCategoriesOrThreshold=[0.5])
    nodes = [
        Row(treeID=0, id=0, leftChild=1, rightChild=2, split=split, impurityStats=[4.0, 4.0]),
        Row(treeID=0, id=1, leftChild=-1, rightChild=-1, split=None, impurityStats=[3.0, 1.0]),
        Row(treeID=0, id=2, leftChild=-1, rightChild=-1, split=None, impurityStats=[0.0, 4.0]),
        Row(treeID=1, id=0, leftChild=-1, rightChild=-1, split=None, impurityStats=[0.0, 0.0]),
    ]
    forest = forest_from_rows(nodes)
    np.testing.assert_allclose(forest.predict(np.array([[0, 0, 0.5], [0, 0, 0.6]])), [[0.75, 0.25], [0, 1]])
    assert forest.roots.tolist() == [0, 3]

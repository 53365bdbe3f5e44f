"""The estimators: their parameters and predictions, and the error if one is not installed."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import numpy as np
import pytest

from pipelines.classifiers.distributed import fit_with_validation
from pipelines.classifiers.estimators import build_estimator, describe
from pipelines.classifiers.transformers import predict_probabilities
from pipelines.errors import PlatformError

CLASSES = ["cat", "dog"]


@pytest.fixture
def settings(make_settings):
    return lambda **values: make_settings({f"train.{key}": value for key, value in values.items()}).train


def test_every_penalty_is_tried_by_its_name(settings, spark):
    found = build_estimator(settings(reg_params=[0.5, 2.0], elastic_net=0.25, max_iter=7), "vector")
    assert found.param_grid == ({"reg_param": 0.5}, {"reg_param": 2.0})
    assert [{param.name: value for param, value in each.items()} for each in found.spark_param_maps()] == [
        {"regParam": 0.5},
        {"regParam": 2.0},
    ]
    assert (found.estimator.getElasticNetParam(), found.estimator.getMaxIter()) == (0.25, 7)


def test_a_forest_learns_what_no_line_divides(spark, settings):
    random = np.random.default_rng(1)
    points = random.choice([-1.0, 1.0], size=(200, 2)) + random.normal(size=(200, 2)) * 0.2
    rows = [([float(x), float(y)], CLASSES[int(x * y > 0)]) for x, y in points]
    table = spark.createDataFrame(rows, "features array<float>, label string")
    chosen = settings(classifier="random_forest", num_trees=20, max_depth=4, min_samples_leaf=2)
    model = fit_with_validation(table, table.limit(0), CLASSES, chosen).model
    found = predict_probabilities(model, table).collect()
    right = [CLASSES[int(np.argmax(row["probability"]))] == row["label"] for row in found]
    assert np.mean(right) > 0.98
    assert model.stages[-1].getNumTrees == 20
    assert describe(chosen, {}) == "random forest of 20 trees, at most 4 levels deep, on features"


@pytest.mark.skipif(find_spec("synapse") is None, reason="needs SynapseML")
def test_a_session_without_synapseml_gets_the_remedy(spark, settings):
    with pytest.raises(
        PlatformError, match=r"jars this Spark session lacks .* --packages com\.microsoft\.azure:synapse"
    ):
        build_estimator(settings(classifier="lightgbm"), "vector")


def test_without_the_package_the_command_that_installs_it_is_named(spark, settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "synapse", None)
    with pytest.raises(PlatformError, match=r"not installed\. pip install synapseml==1\.1\.3"):
        build_estimator(settings(classifier="lightgbm"), "vector")


def test_the_classifier_is_described_in_words(settings):
    assert describe(settings(elastic_net=0.5, pca_components=64), {"reg_param": 0.03}) == (
        "multinomial logistic regression on standardised 64 principal components, penalty 0.03 (50% of it L1)"
    )
    assert describe(settings(classifier="lightgbm", num_trees=50), {}).startswith(
        "LightGBM, 50 trees a class, at most 6"
    )

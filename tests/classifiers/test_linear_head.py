"""The linear head of every pipeline that is linear has the logits of its pipeline."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.pipeline import PipelineModel

from pipelines.classifiers.distributed import fit_with_validation
from pipelines.classifiers.linear_head import read_linear_head
from pipelines.classifiers.transformers import VECTOR, predict_probabilities, with_temperature_scaling

from .separable_rows import CLASSES, separable_rows


@pytest.fixture(scope="module")
def rows(spark):
    return separable_rows(spark, 90)


def probabilities_of(model, rows):
    found = predict_probabilities(model, rows.orderBy("number")).collect()
    return np.array([row["features"] for row in found]), np.array([row["probability"] for row in found])


def softmax(logits):
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("components", [None, 4])
def test_logistic_regression_with_and_without_pca_is_read_to_the_last_digit(rows, make_settings, components):
    settings = make_settings({"train.pca_components": components, "train.reg_params": [0.01]}).train
    fitted = fit_with_validation(rows, rows.limit(0), CLASSES, settings).model
    model = with_temperature_scaling(fitted, 1.7)
    features, probabilities = probabilities_of(model, rows)
    head = read_linear_head(model)
    assert head is not None and head.coefficients.shape == (3, 6)
    np.testing.assert_allclose(softmax(head.logits(features)), probabilities, atol=1e-7)


def test_a_binomial_model_has_two_rows(rows):
    two = VECTOR.transform(
        rows.where("label <> 'fox'").selectExpr("number", "features", "double(label = 'deer') label")
    )
    fitted = LogisticRegression(featuresCol="vector", family="binomial", regParam=0.1).fit(two)
    model = PipelineModel(stages=[VECTOR, fitted])
    features, probabilities = probabilities_of(model, rows)
    np.testing.assert_allclose(softmax(read_linear_head(model).logits(features)), probabilities, atol=1e-7)


def test_a_forest_is_not_linear(rows, make_settings):
    settings = make_settings({"train.classifier": "random_forest", "train.num_trees": 2}).train
    assert read_linear_head(fit_with_validation(rows, rows.limit(0), CLASSES, settings).model) is None

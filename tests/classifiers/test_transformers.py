"""The classifier: Spark's weighted logistic regression equals scikit-learn's, and can be saved and loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as F
from sklearn.linear_model import LogisticRegression

from pipelines.classifiers.distributed import fit_with_validation
from pipelines.classifiers.transformers import (
    ArrayToVector,
    TemperatureScaling,
    predict_probabilities,
    prepare_training_rows,
)
from pipelines.evaluation.calibration import apply_temperature

CLASSES = ["cat", "dog's", "ötter"]
COUNTS = {"cat": 60, "dog's": 30, "ötter": 10}
SCHEMA = "name string, features array<float>, label string"


@pytest.fixture(scope="module")
def points() -> list[tuple[str, list[float], str]]:
    """Return 100 rows of three overlapping classes in four dimensions of different scales, and a constant one."""
    random = np.random.default_rng(11)
    rows = []
    for place, (label, count) in enumerate(COUNTS.items()):
        centre = np.eye(3)[place] * 1.5
        for number in range(count):
            found = np.append((random.normal(size=3) + centre) * [1, 20, 0.05], [random.normal() * 3, 7.0])
            rows.append((f"{label} {number}", [float(value) for value in found.astype(np.float32)], label))
    return [rows[place] for place in random.permutation(len(rows))]


@pytest.fixture(scope="module")
def rows(spark: Any, points: list[tuple[str, list[float], str]]) -> Any:
    return spark.createDataFrame(points, SCHEMA).coalesce(2).cache()


@pytest.fixture
def train_settings(make_settings: Callable[..., Any]) -> Any:
    """Return a function from {key of train: value} to settings."""
    return lambda **changed: make_settings({f"train.{key}": value for key, value in changed.items()}).train


def trained(rows: Any, classes: list[str], settings: Any, reg_param: float) -> PipelineModel:
    alone = settings.model_copy(update={"reg_params": [reg_param]})
    return fit_with_validation(rows, rows.limit(0), classes, alone).model


def by_scikit_learn(points: list[tuple[str, list[float], str]], reg_param: float, balanced: bool) -> np.ndarray:
    """Return probabilities; Spark divides the loss by the sum of weights: reg_param is 1 / (C * sum).

    It brings features to a standard deviation of 1, each row counting as much as it weighs.
    """
    x = np.array([features for _, features, _ in points], dtype=np.float64)
    y = np.array([CLASSES.index(label) for *_, label in points])
    weight = np.array([len(y) / (3 * COUNTS[label]) if balanced else 1.0 for *_, label in points])
    assert weight.sum() == pytest.approx(len(y))
    mean = np.average(x, axis=0, weights=weight)
    spread = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weight))
    scaled = np.divide(x - mean, spread, out=np.zeros_like(x), where=spread > 1e-9)
    model = LogisticRegression(C=1 / (len(y) * reg_param), tol=1e-8, max_iter=1000)
    return np.asarray(model.fit(scaled, y, sample_weight=weight).predict_proba(scaled))


@pytest.mark.parametrize("weighting", ["balanced", "none"])
def test_probabilities_equal_those_of_scikit_learn_for_every_penalty(
    rows: Any, points: list[tuple[str, list[float], str]], train_settings: Any, weighting: str
) -> None:
    settings = train_settings(class_weights=weighting, elastic_net=0.0)
    for reg_param in (0.01, 0.3):
        model = trained(rows, CLASSES, settings, reg_param)
        found = predict_probabilities(model, rows)
        assert found.columns == ["name", "features", "label", "probability"]
        spark_says = {row["name"]: row["probability"] for row in found.collect()}
        expected = by_scikit_learn(points, reg_param, weighting == "balanced")
        assert np.abs(np.array([spark_says[name] for name, *_ in points]) - expected).max() < 1e-2


def test_the_order_of_probabilities_is_that_of_the_classes_given(rows: Any, train_settings: Any) -> None:
    settings = train_settings(elastic_net=0.0)
    one, other = (
        {row["name"]: row["probability"] for row in predict_probabilities(model, rows).collect()}
        for model in (trained(rows, order, settings, 0.01) for order in (CLASSES, CLASSES[::-1]))
    )
    assert all(other[name] == pytest.approx(one[name][::-1], abs=1e-4) for name in one)


def test_balanced_weights_make_every_class_count_the_same(rows: Any) -> None:
    found = prepare_training_rows(rows, CLASSES, "balanced")
    assert sorted(found.columns) == ["label", "name", "vector", "weight"]
    seen = {row["label"]: (row["weight"], row["count"]) for row in found.groupBy("label", "weight").count().collect()}
    assert seen == {place: (pytest.approx(100 / (3 * count)), count) for place, count in enumerate(COUNTS.values())}


def test_without_balance_every_row_weighs_one(rows: Any) -> None:
    found = prepare_training_rows(rows, CLASSES, "none")
    assert {(row["label"], row["weight"]) for row in found.collect()} == {(0.0, 1.0), (1.0, 1.0), (2.0, 1.0)}


def test_a_flipped_image_is_a_row_of_its_own_where_there_are_features_of_it(spark: Any) -> None:
    table = [("a", [1.0], [-1.0], "cat"), ("b", [2.0], None, "dog's"), ("c", [3.0], [-3.0], "dog's")]
    rows = spark.createDataFrame(table, "name string, features array<float>, flipped array<float>, label string")
    found = prepare_training_rows(rows, CLASSES, "balanced").collect()
    assert sorted((row["name"], row["vector"][0], row["label"]) for row in found) == [
        ("a", -1.0, 0.0),
        ("a", 1.0, 0.0),
        ("b", 2.0, 1.0),
        ("c", -3.0, 1.0),
        ("c", 3.0, 1.0),
    ]


def test_probabilities_of_another_column_are_those_of_its_features(rows: Any, train_settings: Any) -> None:
    model = trained(rows, CLASSES, train_settings(), 0.1)
    other = rows.withColumn("flipped", F.transform("features", lambda each: each + 1)).drop("label")
    found = {row["name"]: row["probability"] for row in predict_probabilities(model, other, "flipped").collect()}
    moved = rows.select("name", F.transform("features", lambda each: each + 1).alias("features"))
    expected = {row["name"]: row["probability"] for row in predict_probabilities(model, moved).collect()}
    assert found == expected
    assert predict_probabilities(model, other, "flipped").columns == ["name", "features", "flipped", "probability"]


def test_two_classes_have_two_probabilities(rows: Any, train_settings: Any) -> None:
    two = rows.where("label in ('cat', 'ötter')")
    model = trained(two, ["cat", "ötter"], train_settings(), 0.01)
    found = [row["probability"] for row in predict_probabilities(model, two).collect()]
    assert {len(each) for each in found} == {2}
    assert [sum(each) for each in found] == pytest.approx([1.0] * 70)


def test_array_to_vector_survives_its_file_inside_a_pipeline(spark: Any, tmp_path: Path) -> None:
    table = spark.createDataFrame([(1, [0.5, -2.0]), (2, [1e-30, 3.4e38])], "id int, points array<float>")
    pipeline = Pipeline(stages=[ArrayToVector("points", "as_vector")])
    model = pipeline.fit(table)
    pipeline.save(str(tmp_path / "pipeline"))
    model.save(str(tmp_path / "model"))
    again = [Pipeline.load(str(tmp_path / "pipeline")).fit(table), PipelineModel.load(str(tmp_path / "model"))]
    expected = np.array([[0.5, -2.0], [1e-30, 3.4e38]], dtype=np.float32).tolist()
    for each in (model, *again):
        found = each.transform(table).orderBy("id").select("as_vector").collect()
        assert [row["as_vector"].toArray().tolist() for row in found] == expected


def test_a_trained_model_survives_its_file(rows: Any, train_settings: Any, tmp_path: Path) -> None:
    model = trained(rows, CLASSES, train_settings(), 0.1)
    model.save(str(tmp_path / "model"))
    unlabelled = rows.select("name", "features").orderBy("name")
    before, after = (
        [row["probability"] for row in predict_probabilities(each, unlabelled).collect()]
        for each in (model, PipelineModel.load(str(tmp_path / "model")))
    )
    assert before == after


@pytest.mark.parametrize("temperature", [0.05, 0.7, 20.0])
def test_four_hundred_classes_are_tempered_as_four_are(spark: Any, temperature: float) -> None:
    given = np.random.default_rng(3).dirichlet(np.full(400, 0.05), 40)
    rows = spark.createDataFrame([(each.tolist(),) for each in given], "drawn array<double>").coalesce(1)
    found = (
        TemperatureScaling(temperature).transform(rows.withColumn("probability", array_to_vector("drawn"))).collect()
    )
    expected = apply_temperature(given, temperature)
    np.testing.assert_allclose([row["probability"].toArray() for row in found], expected, rtol=1e-9, atol=1e-300)

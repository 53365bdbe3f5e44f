"""Both solvers fit the same model, and the size of the training set chooses between them."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.ml import PipelineModel

from pipelines.classifiers.classifier import CalibratedClassifier
from pipelines.classifiers.distributed import SparkSolver
from pipelines.classifiers.in_memory import InMemorySolver
from pipelines.classifiers.predict import predict_labelled
from pipelines.classifiers.solvers import choose_solver
from pipelines.classifiers.training_set import TrainingSet

CLASSES = ["blank", "fox", "hare"]
COLUMNS = "content_hash string, features array<float>, flipped array<float>, label string, burst_id string, "
COLUMNS += "group_id string, split string"


@pytest.fixture(scope="module")
def table(spark):
    """Return 240 rows of three overlapping classes in 60 groups; every tenth image has no flipped copy."""
    random, rows = np.random.default_rng(3), []
    for number in range(240):
        group, kind = number // 4, number // 4 % 3
        features = np.eye(8)[kind] * 0.8 + random.normal(size=8)
        flipped = (features + random.normal(size=8) * 0.5).tolist() if number % 10 else None
        split = "validation" if group % 5 == 0 else "train"
        rows.append((f"{number:03}", features.tolist(), flipped, CLASSES[kind], f"b{group}", f"g{group}", split))
    return spark.createDataFrame(rows, COLUMNS).cache()


@pytest.fixture(scope="module", params=[True, False], ids=["flipped", "plain"])
def rows(table, request):
    yield TrainingSet.collect(table if request.param else table.drop("flipped"))


@pytest.fixture
def settings(make_settings):
    return lambda **values: make_settings({f"train.{key}": value for key, value in values.items()}).train


def in_order(predictions):
    """Return labels, bursts, groups and probabilities of both views, ordered: Spark returns rows in any order."""
    order = np.lexsort([predictions.probabilities[:, 0].round(2), predictions.groups])
    flipped = [] if predictions.flipped is None else [predictions.flipped[order]]
    names = [[each[i] for i in order] for each in (predictions.labels, predictions.bursts, predictions.groups)]
    return names, np.stack([predictions.probabilities[order], *flipped])


def assert_equal_predictions(one, other):
    (names, probabilities), (other_names, others) = in_order(one), in_order(other)
    assert names == other_names
    assert probabilities == pytest.approx(others, abs=1e-4)


@pytest.mark.parametrize("weights", ["balanced", "none"])
def test_cross_validation_selects_and_predicts_the_same(rows, settings, weights):
    chosen, folded = settings(reg_params=[0.0001, 0.1, 5.0], class_weights=weights), rows.with_folds(3, "irbis")
    one, other = (solver.cross_validate(folded, CLASSES, chosen, 3) for solver in (InMemorySolver(), SparkSolver()))
    assert one.parameters == other.parameters == {"reg_param": 0.1}
    assert one.losses == pytest.approx(other.losses, abs=1e-4)
    assert_equal_predictions(one.predictions, other.predictions)
    assert_equal_predictions(*(fit.classifier.predict(rows, CLASSES) for fit in (one, other)))


def test_a_label_of_one_fold_is_trained_but_neither_predicted_nor_counted(rows, settings):
    folded = rows.with_folds(3, "irbis")
    only = (folded.images["label"] != "fox") | (folded.images["fold"] == 1)
    folded = folded.where(only.to_numpy())
    chosen = settings(reg_params=[0.01, 0.1])
    one, other = (solver.cross_validate(folded, CLASSES, chosen, 3) for solver in (InMemorySolver(), SparkSolver()))
    for fit in (one, other):
        assert set(fit.predictions.labels) == {"blank", "hare"}
        assert max(fit.losses) < 1.5  # an unknown class has a loss of 30 nats and more
        found = fit.classifier.predict(rows.with_labels(["fox"]), CLASSES)
        assert (found.probabilities.argmax(axis=1) == 1).mean() > 0.3


def test_a_held_out_part_selects_the_same(rows, settings):
    chosen = settings(reg_params=[0.003, 0.1, 5.0])
    parts = rows.in_split("train"), rows.in_split("validation")
    one, other = (solver.fit_with_validation(*parts, CLASSES, chosen) for solver in (InMemorySolver(), SparkSolver()))
    assert one.parameters == other.parameters
    assert one.losses == pytest.approx(other.losses, abs=1e-4)
    assert len(one.predictions.labels) == len(parts[1]) == len(other.predictions.labels)


def test_without_validation_the_first_penalty_is_used_and_nothing_is_predicted(rows, settings):
    chosen, none = settings(reg_params=[5.0, 0.1]), rows.in_split("test")
    for solver in (InMemorySolver(), SparkSolver()):
        fit = solver.fit_with_validation(rows, none, CLASSES, chosen)
        assert (fit.parameters, fit.predictions) == ({"reg_param": 5.0}, None)


@pytest.mark.parametrize(("iterations", "converged"), [(1000, True), (2, False)])
def test_a_fit_knows_whether_it_converged(rows, settings, iterations, converged):
    chosen, folded = settings(reg_params=[0.05], max_iter=iterations), rows.with_folds(2, "irbis")
    for solver in (InMemorySolver(), SparkSolver()):
        fits = [
            solver.cross_validate(folded, CLASSES, chosen, 2),
            solver.fit_with_validation(rows, rows.in_split("test"), CLASSES, chosen),
        ]
        assert [fit.converged for fit in fits] == [converged] * 2


def test_the_model_in_memory_is_a_spark_pipeline_that_can_be_saved(rows, table, settings, tmp_path):
    fit = InMemorySolver().fit_with_validation(rows, rows.in_split("test"), CLASSES, settings(reg_params=[0.05]))
    calibrated = CalibratedClassifier(fit.classifier, 1.7)
    expected = calibrated.predict(rows, CLASSES)
    calibrated.to_pipeline().save(str(tmp_path / "model"))
    model = PipelineModel.load(str(tmp_path / "model"))
    assert [type(stage).__name__ for stage in model.stages] == [
        "ArrayToVector",
        "LogisticRegressionModel",
        "TemperatureScaling",
    ]
    regression = model.stages[1]
    assert (regression.numClasses, regression.numFeatures, regression.getFeaturesCol()) == (3, 8, "vector")
    assert regression.coefficientMatrix.toArray() == pytest.approx(fit.classifier.model.coefficients, abs=0)
    found = predict_labelled(model, rows.to_dataframe(), CLASSES)
    names, probabilities = in_order(found)
    other_names, others = in_order(expected)
    assert names == other_names
    assert probabilities == pytest.approx(others, abs=1e-9)


def test_one_row_more_than_fits_and_spark_fits_the_model(rows, settings):
    values = 240 * 8 * len(rows.store.views)
    assert choose_solver(rows, settings(max_in_memory_values=values)).name == "in memory"
    assert choose_solver(rows, settings(max_in_memory_values=values - 1)).name == "Spark"
    half = rows.where(np.arange(240) < 120)  # all fits of a training have the same solver
    assert choose_solver(half, settings(max_in_memory_values=values - 1)).name == "Spark"


@pytest.mark.parametrize(
    "values",
    [{"elastic_net": 0.5}, {"pca_components": 4}, {"classifier": "random_forest"}],
    ids=["elastic net", "principal components", "random forest"],
)
def test_what_is_no_plain_regression_is_fitted_by_spark(rows, settings, values):
    assert choose_solver(rows, settings()).name == "in memory"
    assert choose_solver(rows, settings(**values)).name == "Spark"


def test_features_cross_to_the_driver_once(table, settings, monkeypatch):
    calls = []
    from pipelines.classifiers import training_set

    collect = training_set.collect_arrow
    monkeypatch.setattr(training_set, "collect_arrow", lambda rows: calls.append(rows.columns) or collect(rows))
    rows = TrainingSet.collect(table)
    assert calls == []
    for penalty in (0.1, 0.2):
        InMemorySolver().cross_validate(rows.with_folds(3, "irbis"), CLASSES, settings(reg_params=[penalty]), 3)
    rows.in_split("train").plain_features()
    assert calls == [["content_hash", "features", "flipped"]]
    rows.store.release()
    assert rows.plain_features().shape == (240, 8)

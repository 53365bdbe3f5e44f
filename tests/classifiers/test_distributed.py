"""The solver in Spark: selected parameters, and models trained without their fold."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.classifiers.distributed import cross_validate, fit_with_validation
from pipelines.classifiers.transformers import predict_probabilities

CLASSES = ["cat", "dog"]


@pytest.fixture(scope="module")
def rows(spark):
    """Return 90 rows in three folds. In fold 2 the third feature has the opposite sign."""
    random, rows = np.random.default_rng(3), []
    for number in range(90):
        fold, place = number % 3, number // 3 % 2
        side = 2 * place - 1
        found = [side + random.normal(), random.normal(), (-side if fold == 2 else side) * 1.0]
        rows.append((number, [float(each) for each in found], CLASSES[place], fold))
    return spark.createDataFrame(rows, "number int, features array<float>, label string, fold int").cache()


@pytest.fixture
def settings(make_settings):
    return lambda **values: make_settings({f"train.{key}": value for key, value in values.items()}).train


def says(model, rows):
    return [row["probability"] for row in predict_probabilities(model, rows.orderBy("number")).collect()]


def test_the_penalty_with_the_lowest_loss_on_what_was_held_out_wins_and_all_rows_are_fitted_with_it(rows, settings):
    chosen = settings(reg_params=[0.001, 0.5, 1000.0])
    found = cross_validate(rows, CLASSES, chosen, 3)
    assert len(found.losses) == 3 and found.parameters == {"reg_param": [0.001, 0.5, 1000.0][np.argmin(found.losses)]}
    assert found.losses[2] == pytest.approx(np.log(2), abs=1e-3)  # knows nothing
    assert found.parameters == {"reg_param": 0.5}
    alone = fit_with_validation(rows, rows.limit(0), CLASSES, settings(reg_params=[0.5]))
    assert np.array(says(found.model, rows)) == pytest.approx(np.array(says(alone.model, rows)), abs=1e-4)


def test_the_model_of_a_fold_has_not_seen_it(rows, settings):
    chosen = settings(reg_params=[0.1])
    found = cross_validate(rows, CLASSES, chosen, 3)
    for fold, model in enumerate(found.fold_models):
        others = rows.where(f"fold != {fold}")
        alone = fit_with_validation(others, others.limit(0), CLASSES, chosen)
        assert np.array(says(model, rows)) == pytest.approx(np.array(says(alone.model, rows)), abs=0.02)


def test_a_fold_may_lack_a_class(spark, rows, settings):
    lopsided = rows.where("fold != 0 or label = 'cat'").where("label = 'cat' or fold = 1")
    found = cross_validate(lopsided, CLASSES, settings(reg_params=[0.1]), 3)
    assert {len(each) for each in says(found.fold_models[1], rows)} == {2}  # taught cats alone
    assert max(each[1] for each in says(found.fold_models[1], rows)) < 0.01


def test_the_one_split_chooses_by_what_it_holds_back(rows, settings):
    chosen = settings(reg_params=[0.001, 0.5, 1000.0])
    found = fit_with_validation(rows.where("fold < 2"), rows.where("fold = 2"), CLASSES, chosen)
    assert found.parameters["reg_param"] == 1000.0  # whoever believes the third feature is punished
    assert found.fold_models == ()
    assert fit_with_validation(rows, rows.limit(0), CLASSES, chosen).parameters == {"reg_param": 0.001}


def test_nothing_stays_cached(spark, rows, settings):
    kept = spark.sparkContext._jsc.getPersistentRDDs
    rows.count()
    before = kept().size()
    cross_validate(rows, CLASSES, settings(reg_params=[0.1]), 3)
    fit_with_validation(rows, rows, CLASSES, settings(reg_params=[0.1, 0.2]))
    assert kept().size() == before


def test_principal_components_are_found_within_each_fold(rows, settings):
    found = cross_validate(rows, CLASSES, settings(reg_params=[0.1], pca_components=2), 3)
    steps = [type(step).__name__ for step in found.model.stages]
    assert steps == ["ArrayToVector", "StandardScalerModel", "PCAModel", "LogisticRegressionModel"]
    assert found.model.stages[-1].numFeatures == 2
    means = [model.stages[1].mean.toArray() for model in found.fold_models]
    expected = np.array(
        [[each[1], each[3]] for each in rows.select("number", "features", "label", "fold").collect()], object
    )
    for fold, mean in enumerate(means):
        others = np.array([features for features, of in expected if of != fold])
        assert mean == pytest.approx(others.mean(axis=0), abs=1e-6)


def test_a_label_of_one_fold_alone_does_not_choose_the_parameters(spark, rows, settings):
    """Ten birds in fold 1: the model that predicts them was not trained on birds."""
    birds = spark.createDataFrame([(90 + n, [0.0, 5.0, 0.0], "bird", 1) for n in range(10)], rows.schema)
    chosen = settings(reg_params=[0.001, 0.5, 1000.0])
    alone = cross_validate(rows, CLASSES, chosen, 3)
    found = cross_validate(rows.unionByName(birds), ["bird", *CLASSES], chosen, 3)
    assert (found.single_fold_labels, alone.single_fold_labels) == (("bird",), ())
    assert found.parameters == alone.parameters == {"reg_param": 0.5}
    assert found.losses[1] < 1.0  # an unknown class has a loss of 30 nats and more

"""Small surveys: classes with few groups are trained, and evaluated by cross-validation if test cannot."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from pipelines.classifiers.training_set import TrainingSet
from pipelines.errors import DataError
from pipelines.stages.train.evaluate import cross_validate_pipeline
from pipelines.stages.train.stage import train
from pipelines.stages.train.training_data import select_rows

COLUMNS = (
    "path string, content_hash string, features array<float>, label string, burst_id string, group_id string, "
    "split string"
)
# Groups of each species by split. Lynxes are in train alone, wolves in test alone, an owl was met once.
SURVEY = {
    "blank": {"train": 7, "validation": 1, "test": 2},
    "hare": {"train": 6, "validation": 1, "test": 2},
    "lynx": {"train": 4},
    "wolf": {"test": 2},
    "owl": {"test": 1},
}


def survey_rows(groups=SURVEY, noise=0.25, frames=2, seed=3):
    """Yield two frames of each group, whose features lie around a place of their species."""
    random = np.random.default_rng(seed)
    for kind, (label, splits) in enumerate(groups.items()):
        place = np.zeros(32)
        place[kind] = 4.0
        for split, count in splits.items():
            for number in range(count):
                group = f"{label}-{split}-{number}"
                own = place + noise * random.normal(size=32)
                for frame in range(frames):
                    features = [float(each) for each in own + 0.1 * random.normal(size=32)]
                    yield f"/pics/{group}_{frame}.jpg", f"{group}_{frame}", features, label, group, group, split


@pytest.fixture(scope="module")
def survey(spark):
    return spark.createDataFrame(list(survey_rows()), COLUMNS).cache()


@pytest.fixture
def chosen(make_settings):
    def choose(**values):
        cheap = {"reg_params": 0.05, "cv_folds": 2, "bootstrap_resamples": 100, **values}
        return make_settings({f"train.{key}": value for key, value in cheap.items()})

    return choose


@pytest.fixture(scope="module")
def trained(survey, request):
    from pipelines.config.loader import load_settings

    cheap = {"train.reg_params": 0.05, "train.cv_folds": 3, "train.bootstrap_resamples": 100}
    return train(survey, load_settings(None, cheap))


def test_a_small_survey_is_trained_in_one_run_and_evaluated_by_cross_validation(survey, trained):
    assert trained.classes == ["blank", "hare", "lynx", "wolf"]
    assert (trained.folds, trained.method) == (3, "3-fold cross-validation")
    assert (trained.test.rows, trained.test.groups) == (50, 25)  # every image of the four once
    assert {label: (each.support, each.groups) for label, each in trained.test.per_class.items()} == {
        "blank": (20, 10),
        "hare": (18, 9),
        "lynx": (8, 4),
        "wolf": (4, 2),
    }
    assert trained.test.metrics["balanced_accuracy"].value > 0.6  # guessing would give .25
    first, moved, left_out = trained.caveats
    assert "3-fold cross-validation" in first
    assert "2 of 4 classes have no group in test (lynx, wolf)" in first
    assert moved.startswith("2 groups outside train, first wolf-test-0, moved to train")
    assert left_out.startswith("1 class with too few groups (train.min_groups_per_class) left out, 2 images: owl")


def test_caveats_are_in_the_evaluation_file_and_the_metrics_are_not_named_test(trained):
    kept = json.loads(trained.to_json())
    assert kept["evaluation"] == {"method": "3-fold cross-validation", "folds": 3}
    assert kept["caveats"] == list(trained.caveats)
    assert kept["leakage"]["checked"] == 30 and kept["leakage"]["found"] == 0
    figures = trained.mlflow_metrics()
    assert figures["cross_validation.accuracy"] == trained.test.metrics["accuracy"].value
    assert figures["cross_validation_burst.accuracy"] == trained.burst_test.metrics["accuracy"].value
    assert not [name for name in figures if name.startswith(("test.", "test_burst."))]


def test_the_registered_model_learns_from_train_and_validation_and_the_only_groups_of_a_class(survey, chosen):
    selection = select_rows(TrainingSet.collect(survey), chosen().train)
    assert selection.moved == ("wolf-test-0", "wolf-test-1")
    sides = set(zip(selection.rows.labels, selection.rows.column("split"), strict=True))
    assert {split for label, split in sides if label == "wolf"} == {"train"}
    assert {split for label, split in sides if label == "hare"} == {"train", "validation", "test"}
    alone = select_rows(TrainingSet.collect(survey), chosen(cv_folds=0, min_groups_per_class=1).train)
    assert alone.moved == ("owl-test-0", "wolf-test-0", "wolf-test-1")
    assert alone.coverage.not_evaluated == ("owl",)


def test_every_image_is_predicted_without_its_group_and_nothing_chosen_has_seen_it(spark, chosen):
    """Labels are drawn for each group, so that only a model trained on a group can recognise it."""
    random = np.random.default_rng(0)
    groups = {label: {"train": 12} for label in ("blank", "hare")}
    rows = []
    for number, row in enumerate(survey_rows(groups, noise=0)):
        if number % 2 == 0:
            own = [float(each) for each in random.normal(size=32) * 3]
        rows.append((*row[:2], own, *row[3:]))
    table = TrainingSet.collect(spark.createDataFrame(rows, COLUMNS))
    measured = cross_validate_pipeline(table, ["blank", "hare"], ["blank", "hare"], chosen().train)
    assert Counter(measured.predictions.groups) == dict.fromkeys({row[5] for row in rows}, 2)
    assert [len(set(part.predictions.groups)) for part in measured.parts] == [12, 12]
    assert measured.predictions.evaluate(bootstrap=0).metrics["accuracy"].value < 0.75


FOREST = {"classifier": "random_forest", "num_trees": 10, "max_depth": 4, "min_samples_leaf": 1}


@pytest.mark.parametrize("classifier", [{"cv_folds": 0}, FOREST])
def test_other_folds_and_classifiers_take_the_small_survey_too(survey, chosen, classifier):
    found = train(survey, chosen(**classifier, min_groups_per_class=1))
    assert found.classes == ["blank", "hare", "lynx", "owl", "wolf"]
    assert found.folds == (5 if classifier == {"cv_folds": 0} else 2)
    owl = found.test.per_class["owl"]
    assert (owl.support, owl.recall.value) == (0, None)
    assert found.test.rows == 50
    assert "Trained, but not evaluated, because all images are in one group: owl." in " ".join(found.caveats)
    assert found.test.metrics["balanced_accuracy"].value > 0.35  # of four classes, two of them with few groups


def test_a_test_split_that_can_evaluate_all_classes_is_used_as_ever(survey, chosen):
    found = train(survey.where("label in ('blank', 'hare')"), chosen())
    assert (found.folds, found.method, found.caveats) == (0, "test", ())
    assert (found.test.rows, found.test.groups) == (8, 4)
    assert found.mlflow_metrics()["test.accuracy"] == found.test.metrics["accuracy"].value


def chosen_by_model(spark, groups):
    """Return rows of the survey; those of the split `chosen` are of groups that a model chose for review."""
    rows = [(*row[:6], "train" if row[6] == "chosen" else row[6], row[6] == "chosen") for row in survey_rows(groups)]
    return spark.createDataFrame(rows, f"{COLUMNS}, is_model_chosen boolean")


def test_groups_that_a_model_chose_are_trained_on_and_not_evaluated(spark, chosen):
    groups = {"blank": {"train": 6, "chosen": 3}, "hare": {"train": 6, "chosen": 3}, "lynx": {"chosen": 4}}
    rows = chosen_by_model(spark, groups)
    found = train(rows, chosen())
    assert (found.classes, found.folds) == (["blank", "hare", "lynx"], 2)
    assert (found.test.rows, found.test.groups) == (24, 12)
    assert {label: each.support for label, each in found.test.per_class.items()} == {"blank": 12, "hare": 12, "lynx": 0}
    assert found.validation.groups == 12
    assert found.leakage.checked <= 24
    (caveat,) = [text for text in found.caveats if "Trained, but not evaluated" in text]
    assert caveat == (
        "Trained, but not evaluated, because a model chose all their images for review: lynx. How well the model finds "
        "them is unknown. Label a random sample too: the audit queue of `irbis review`."
    )
    lynxes = TrainingSet.collect(rows.where("label = 'lynx'"))
    predicted = found.model.predict(lynxes, found.classes)
    assert predicted.probabilities[:, 2].min() > 0.5  # learned

    tested = {label: {"train": 6, "test": 2, "chosen": 3} for label in ("blank", "hare")}
    on_test = train(chosen_by_model(spark, tested | {"lynx": {"chosen": 4}}), chosen())
    assert (on_test.folds, on_test.test.rows, on_test.validation.groups) == (0, 8, 12)


def test_where_a_model_chose_all_they_are_evaluated_with_a_caveat(spark, chosen):
    rows = chosen_by_model(spark, {"blank": {"train": 4, "chosen": 3}, "hare": {"chosen": 6}})
    found = train(rows, chosen())
    assert (found.test.rows, found.folds) == (26, 2)
    (caveat,) = [text for text in found.caveats if "include images that a model chose" in text]
    assert caveat.endswith("Label a random sample too: the audit queue of `irbis review`.")


def test_a_class_that_one_fold_holds_alone_chooses_nothing(survey, chosen):
    """One group of owls in training: the model without its fold cannot know it, and its loss is not counted."""
    rows = survey.where("label in ('blank', 'hare', 'owl')")
    found = train(rows, chosen(min_groups_per_class=1))
    without = train(rows.where("label != 'owl'"), chosen())
    assert found.validation.per_class["owl"].support == 0
    assert found.temperature == pytest.approx(without.temperature, rel=0.3)


def test_contradicting_bursts_are_counted_and_do_not_vote(spark, chosen):
    """Three cameras without a name: each trigger of theirs is one burst of three species."""
    groups = {label: {"train": 8, "test": 3} for label in ("blank", "hare", "lynx")}
    joined = [
        (path, name, features, label, *[group.partition("-")[2]] * 2, split)
        for path, name, features, label, _, group, split in survey_rows(groups, frames=1)
    ]
    found = train(spark.createDataFrame(joined, COLUMNS), chosen())
    assert found.policy.max_weight is None
    assert found.burst_test.metrics["accuracy"] == found.test.metrics["accuracy"]
    (caveat,) = found.caveats
    assert caveat == (
        "11 of 11 bursts with several labelled images have contradicting labels (100%), first "
        "/pics/blank-test-0_0.jpg (blank) and /pics/lynx-test-0_0.jpg (lynx). Images of different cameras may be "
        "in one burst: check sources.station and the capture times."
    )
    forced = train(spark.createDataFrame(joined, COLUMNS), chosen(burst_aggregation="mean"))
    assert forced.burst_test.metrics["balanced_accuracy"].value < forced.test.metrics["balanced_accuracy"].value
    assert "with train.burst_aggregation=none each image keeps its own prediction" in forced.caveats[-1]


def test_a_fit_that_did_not_converge_is_a_caveat(survey, chosen):
    found = train(survey.where("label in ('blank', 'hare')"), chosen(max_iter=3))
    assert found.caveats == (
        "The logistic regression did not converge in 3 iterations: its probabilities would change with more. "
        "Set train.max_iter=30.",
    )


def test_frames_of_one_trigger_in_two_groups_are_a_leak(spark, chosen):
    groups = {label: {"train": 20} for label in ("fox", "hare")}
    rows = []
    for number, (path, name, features, label, _, _, _) in enumerate(survey_rows(groups, noise=1.0)):
        rows.append((path, name, features, label, name, name, "test" if number % 8 == 0 else "train"))
    found = train(spark.createDataFrame(rows, COLUMNS), chosen())
    (caveat,) = found.caveats
    assert caveat.startswith("10 of 10 test images that are not blank have a near-identical image in ")
    assert "train or validation (cosine of their features at least 0.95)" in caveat
    assert "first /pics/fox-train-0_0.jpg = /pics/fox-train-0_1.jpg; the metrics may be too high" in caveat
    assert found.mlflow_metrics()["leakage.share"] == 1.0


def test_hundreds_of_classes_of_one_image_are_refused_in_one_sentence(spark, chosen):
    rows = [(f"/pics/{n}.jpg", str(n), [float(n)] * 4, f"class {n}", str(n), str(n), "train") for n in range(300)]
    with pytest.raises(DataError, match=r"300 of 300 classes .* and 290 more\. .* Label more encounters") as caught:
        train(spark.createDataFrame(rows, COLUMNS), chosen())
    assert len(caught.value.faults) == 1

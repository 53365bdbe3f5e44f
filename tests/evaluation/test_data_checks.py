"""Which classes are trained and evaluated, and the errors if there are too few."""

from __future__ import annotations

import shlex

import pytest

from pipelines.config.loader import load_settings
from pipelines.errors import DataError
from pipelines.evaluation.data_checks import Coverage, check_coverage

TRAINING_SPLITS = ("train", "validation")
ENOUGH = {"train": (70, 7), "validation": (10, 1), "test": (20, 2)}


def covered(counts, min_groups=2, training_splits=TRAINING_SPLITS, classes_of_interest=()):
    return check_coverage(counts, min_groups, training_splits, classes_of_interest)


def refused(counts, **settings):
    with pytest.raises(DataError) as caught:
        covered(counts, **settings)
    return caught.value.faults


def test_two_classes_with_groups_on_both_sides_are_trained_and_evaluated_on_test():
    found = covered({"cat": ENOUGH, "dog": {"train": (5, 1), "test": (3, 1)}})
    assert found == Coverage(("cat", "dog"), ("cat", "dog"), {})


def test_classes_without_groups_in_test_or_training_are_named():
    few = {"cat": ENOUGH, "lynx": {"train": (9, 4)}, "ocelot": {"test": (3, 2)}, "wolf": {"validation": (4, 2)}}
    found = covered(few)
    assert (found.classes, found.evaluated) == (("cat", "lynx", "ocelot", "wolf"),) * 2
    assert (found.untested, found.unlearned, found.left_out) == (("lynx", "wolf"), ("ocelot",), {})
    assert covered(few, training_splits=("train",)).unlearned == ("ocelot", "wolf")


def test_a_class_of_one_group_is_left_out_or_trained_without_an_evaluation():
    few = {"cat": ENOUGH, "dog": ENOUGH, "lynx": {"test": (5, 1)}}
    assert covered(few) == Coverage(("cat", "dog"), ("cat", "dog"), {"lynx": 5})
    found = covered(few, min_groups=1)
    assert (found.classes, found.not_evaluated, found.unlearned) == (("cat", "dog", "lynx"), ("lynx",), ("lynx",))
    assert found.untested == ()  # test need not evaluate what cannot be evaluated


def test_the_minimum_of_groups_can_be_raised():
    assert covered({"cat": ENOUGH, "dog": ENOUGH, "lynx": {"train": (9, 4)}}, min_groups=5).left_out == {"lynx": 9}


def test_a_table_without_labels_is_an_error():
    assert refused({}) == [
        "Table images has no rows with a label and features. "
        "Give labels with --labels CSV, or by one folder per class, and featurize."
    ]


def test_a_class_alone_is_named_with_its_counts():
    (fault,) = refused({"cat": {"train": (9, 3)}})
    assert fault.startswith(
        "There is only one class, 'cat' (3 groups in train, 0 groups in validation, 0 groups in test); "
        "a classifier needs two."
    )


@pytest.mark.parametrize("min_groups", [1, 2])
def test_hundreds_of_classes_of_one_image_are_one_short_sentence(min_groups):
    (fault,) = refused({f"class {n:03}": {"train": (1, 1)} for n in range(300)}, min_groups=min_groups)
    assert fault.startswith(
        "300 of 300 classes have images of fewer than 2 groups (encounters): class 000, class 001, class 002, "
        "class 003, class 004, class 005, class 006, class 007, class 008, class 009 and 290 more. At least two classes"
    )
    assert "sources.labels" in fault and len(fault) < 500


def test_where_the_setting_is_what_leaves_too_little_it_is_the_remedy():
    (fault,) = refused({"cat": ENOUGH, "dog": {"train": (9, 4)}, "lynx": {"train": (9, 3)}}, min_groups=5)
    assert fault.startswith("2 of 3 classes have images of fewer than 5 groups (encounters): dog, lynx. ")
    key, _, value = shlex.split(fault.rstrip("."))[-1].partition("=")
    assert load_settings(None, {key: value}).train.min_groups_per_class == 2


def test_a_named_class_of_interest_is_not_left_out_in_silence():
    (fault,) = refused({"cat": ENOUGH, "dog": ENOUGH, "lynx": {"train": (5, 1)}}, classes_of_interest=["dog", "lynx"])
    assert fault.startswith("train.classes_of_interest names lynx, with images of fewer than 2 groups (encounters)")
    assert fault.endswith("--set train.min_groups_per_class=1.")
    assert covered({"cat": ENOUGH, "dog": ENOUGH, "lynx": {"train": (5, 1)}}, classes_of_interest=["dog"]).left_out

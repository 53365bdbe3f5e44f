"""Too little to learn from is said with what there is."""

from __future__ import annotations

import shlex

import pytest

from pipelines.config import load_settings
from pipelines.errors import DataError
from pipelines.evaluation.sufficiency import Counts, require_enough

ENOUGH = {"train": 7, "validation": 1, "test": 2}


def refused(groups: Counts) -> list[str]:
    with pytest.raises(DataError) as caught:
        require_enough(groups)
    return caught.value.faults


def test_two_classes_with_groups_on_both_sides_are_enough():
    require_enough({"cat": ENOUGH, "dog": {"train": 1, "test": 1}})


def test_no_labels_are_said_to_be_none():
    assert refused({}) == [
        "Table images has no rows with a label and features. "
        "Give labels with --labels CSV, or by one folder per class, and featurize."
    ]


def test_a_class_alone_is_named_with_its_counts():
    (fault,) = refused({"cat": {"train": 3}})
    assert fault.startswith(
        "There is only one class, 'cat' (3 groups in train, 0 groups in validation, 0 groups in test); "
        "a classifier needs two."
    )


def test_classes_without_groups_are_all_named_with_one_remedy():
    few = {
        "ocelot": {"train": 0, "validation": 1},
        "cat": ENOUGH,
        "dog": ENOUGH,
        "bird, small": {"validation": 2, "test": 1},
    }
    faults = refused(few)
    assert faults == [
        "Class 'bird, small' has no groups in train (0 groups in train, 2 groups in validation, 1 groups in test).",
        "Class 'ocelot' has no groups in train and test (0 groups in train, 1 groups in validation, 0 groups in test).",
        "Label more of what is lacking, or leave it out: "
        """--set 'train.exclude_labels=["bird, small", "ocelot"]'""",
    ]
    key, _, value = shlex.split(faults[-1])[-1].partition("=")
    assert load_settings(None, {key: value}).train.exclude_labels == ["bird, small", "ocelot"]

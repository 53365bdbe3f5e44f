"""Folds: groups dealt out by their hash, every label in turn."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pipelines.evaluation.folds import assign_folds, in_several_folds

# Three frames of each of 40 groups of hares and 7 of lynxes.
FRAMES = [
    (label, f"{label}{group}", f"{label}{group}-{frame}")
    for label, groups in (("hare", 40), ("lynx", 7))
    for group in range(groups)
    for frame in range(3)
]
LABELS, GROUPS, HASHES = zip(*FRAMES, strict=True)


def folds_of(labels, units, folds=5, salt="irbis"):
    return set(zip(labels, units, assign_folds(labels, units, folds, salt).tolist(), strict=True))


def test_a_group_is_in_one_fold_and_every_fold_has_its_share_of_every_label():
    found = folds_of(LABELS, GROUPS)
    assert len(found) == 47
    assert sorted(Counter(fold for label, _, fold in found if label == "hare").values()) == [8] * 5
    assert sorted(Counter(fold for label, _, fold in found if label == "lynx").values()) == [1, 1, 1, 2, 2]
    assert {fold for *_, fold in found} == {0, 1, 2, 3, 4}


def test_folds_are_the_same_whatever_the_order_and_others_with_another_salt():
    order = np.random.default_rng(0).permutation(len(FRAMES))
    shuffled = [LABELS[i] for i in order], [GROUPS[i] for i in order]
    assert folds_of(*shuffled) == folds_of(LABELS, GROUPS)
    assert folds_of(LABELS, GROUPS, salt="another") != folds_of(LABELS, GROUPS)


def test_folds_never_change():
    found = assign_folds(["hare", "hare", "lynx", "lynx", "Ötter"], ["a", "b", "c", "d", "e"], 2, "irbis")
    assert found.tolist() == [1, 0, 1, 0, 1]


def test_a_group_with_two_labels_is_in_one_fold():
    found = assign_folds(["hare", "lynx", "lynx"], ["g", "g", "h"], 2, "irbis").tolist()
    assert found[0] == found[1]


def test_folds_of_single_images_are_like_a_random_split():
    found = assign_folds(LABELS, HASHES, 5, "irbis")
    sides = Counter(group for group, _ in set(zip(GROUPS, found.tolist(), strict=True)))
    assert max(sides.values()) == 3  # frames of one group on three sides
    assert (found == 0).sum() == pytest.approx(141 / 5, abs=2)


def test_groups_of_a_rare_label_are_spread_although_they_hold_a_frequent_one_too():
    rows = [("blank", f"{kind}{n}") for kind in ("plain", "mixed") for n in range(4 if kind == "mixed" else 40)]
    rows += [("serval", f"mixed{n}") for n in range(4)]
    found = folds_of(*zip(*rows, strict=True), folds=4)
    assert {fold for label, _, fold in found if label == "serval"} == {0, 1, 2, 3}


def test_labels_in_several_folds_are_found():
    assert in_several_folds(["a", "a", "b", "b", "c"], np.array([0, 1, 2, 2, 0])) == {"a"}

"""Folds of grouped cross-validation: a hash of the group, the same for every candidate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256

import numpy as np

from pipelines.evaluation.bootstrap import Ints


def assign_folds(labels: Sequence[str], units: Sequence[str], folds: int, salt: str) -> Ints:
    """Return the fold of each row, from 0 to folds - 1, the same for all rows of a unit.

    Stratified grouped k-fold: the units of each label are assigned to the folds in turn, in the order of their hash. A
    label with as many units as there are folds is in every fold, and no fold is empty. A unit with several labels
    counts as one of the rarest of them, whose few units must be spread out. Units are groups; with those of single
    images, such as their content hash, the folds are those of a random split.
    """
    label_names, label_codes = np.unique(np.asarray(labels, str), return_inverse=True)
    unit_names, unit_codes = np.unique(np.asarray(units, str), return_inverse=True)
    unit_of, label_of = np.unique(np.stack([unit_codes, label_codes], axis=1), axis=0).T
    count = np.bincount(label_of, minlength=len(label_names))
    order = np.lexsort([label_of, count[label_of], unit_of])
    _, first = np.unique(unit_of[order], return_index=True)
    rarest = label_of[order][first]  # of each unit
    digests = np.array([_digest(f"{salt}:fold:{name}") for name in unit_names.tolist()])
    fold_of_unit = np.zeros(len(unit_names), np.int64)
    for code, name in enumerate(label_names.tolist()):
        members = np.flatnonzero(rarest == code)
        members = members[np.lexsort([members, digests[members]])]
        # Each label starts at a fold of its own, or the first folds would be larger by one group of every label.
        start = int(_digest(f"{salt}:label:{name}"), 16) % folds
        fold_of_unit[members] = (start + np.arange(len(members))) % folds
    return fold_of_unit[unit_codes]


def in_several_folds(labels: Sequence[str], folds: Ints) -> set[str]:
    """Return the labels whose rows are in more than one fold."""
    counted = Counter(label for label, _ in set(zip(labels, folds.tolist(), strict=True)))
    return {label for label, count in counted.items() if count > 1}


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()

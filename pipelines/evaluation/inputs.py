"""Labels and probabilities of images: the validated input of every metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_matrix

from pipelines.evaluation.bootstrap import Floats, Ints, counts_by_group
from pipelines.evaluation.ranking import Ranking, build_ranking


@dataclass(frozen=True)
class EvaluationInput:
    """The validated input as arrays, and the sums by group that a resample needs."""

    truth: Ints  # class index of each row
    predicted: Ints
    probabilities: Floats
    groups: Ints
    group_count: int
    confusion_by_group: csr_matrix  # shape (k * k, groups)
    rows: Floats  # images by group
    loss: Floats  # summed by group
    rankings: tuple[Ranking, ...]


def prepare_input(
    labels: Sequence[str], probabilities: ArrayLike, classes: Sequence[str], groups: Sequence[str]
) -> EvaluationInput:
    """Return the input of an evaluation as arrays; raise ValueError with all its faults."""
    scores = np.asarray(probabilities, dtype=np.float64)
    index = {str(name): i for i, name in enumerate(classes)}
    _check(labels, scores, classes, groups, index)
    truth = np.array([index[label] for label in labels], dtype=np.int64)
    predicted = scores.argmax(axis=1)
    # Sorted, so that intervals do not depend on the order of the rows.
    names, codes = np.unique(np.array([str(group) for group in groups]), return_inverse=True)
    k, count = len(index), len(names)
    likelihood = np.clip(scores[np.arange(len(truth)), truth], np.finfo(np.float64).eps, 1.0)
    return EvaluationInput(
        truth=truth,
        predicted=predicted,
        probabilities=scores,
        groups=codes,
        group_count=count,
        confusion_by_group=counts_by_group(truth * k + predicted, codes, (k * k, count)),
        rows=np.bincount(codes, minlength=count).astype(np.float64),
        loss=np.bincount(codes, weights=-np.log(likelihood), minlength=count).astype(np.float64),
        rankings=tuple(build_ranking(scores[:, i], truth == i, codes, count) for i in range(k)),
    )


def _check(
    labels: Sequence[str],
    scores: Floats,
    classes: Sequence[str],
    groups: Sequence[str],
    index: dict[str, int],
) -> None:
    """Raise ValueError with all faults at once."""
    faults = []
    if len(index) != len(classes) or not len(classes):
        faults.append(f"Classes must be distinct, and at least one: {format_list(classes)}.")
    if not len(labels):
        faults.append("There are no rows to evaluate.")
    if scores.shape != (len(labels), len(classes)):
        faults.append(
            f"Probabilities have shape {scores.shape}, expected {(len(labels), len(classes))}: "
            "a row for each label, a column for each class."
        )
    if len(groups) != len(labels):
        faults.append(f"There are {len(groups):,} groups for {len(labels):,} labels; each row needs a group.")
    if missing := sum(group is None or group != group for group in groups):
        faults.append(f"{missing:,} rows have no group; give a single image a group of its own.")
    if unknown := [label for label in labels if label not in index]:
        faults.append(
            f"{len(unknown):,} labels are not in the classes, for example {unknown[0]!r}. "
            f"The classes are {format_list(classes)}."
        )
    if wrong := int((~((scores >= -1e-6) & (scores <= 1 + 1e-6))).any(axis=-1).sum()):
        faults.append(f"{wrong:,} rows have probabilities that are NaN or not between 0 and 1.")
    elif scores.ndim == 2 and (off := int((abs(scores.sum(axis=1) - 1) > 1e-3).sum())):
        faults.append(f"Probabilities of {off:,} rows do not sum to 1.")
    if faults:
        raise ValueError("\n".join(faults))


def format_list(names: Sequence[str]) -> str:
    """Return the first ten names, and how many more there are."""
    shown = ", ".join(str(name) for name in list(names)[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown

"""Say whether there is enough to learn from, and if not what is missing."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.errors import DataError
from pipelines.evaluation.split import SPLITS

Counts = Mapping[str, Mapping[str, int]]


def require_enough(groups: Counts) -> None:
    """Raise DataError unless there are two classes and each has groups in train and in test.

    `groups` counts groups by label and split. What there is stands in the message, a line for each fault.
    """
    if not groups:
        raise DataError(
            "Table images has no rows with a label and features. "
            "Give labels with --labels CSV, or by one folder per class, and featurize."
        )
    if len(groups) == 1:
        only = next(iter(groups))
        raise DataError(
            f"There is only one class, '{only}' ({_counted(groups[only])}); a classifier needs two. "
            "Label other pictures too, such as those without an animal as 'blank'."
        )
    faults = [
        f"Class '{label}' has no groups in {split} ({_counted(found)}). Label more of it, or leave it out: "
        f"--set train.exclude_labels={label}."
        for label, found in sorted(groups.items())
        for split in ("train", "test")
        if not found.get(split)
    ]
    if faults:
        raise DataError(faults)


def _counted(found: Mapping[str, int]) -> str:
    return ", ".join(f"{found.get(split, 0)} groups in {split}" for split in SPLITS)

"""Say whether there is enough to learn from, and if not what is missing."""

from __future__ import annotations

import json
import shlex
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
    lacking = {
        label: [split for split in ("train", "test") if not found.get(split)] for label, found in sorted(groups.items())
    }
    small = [label for label, splits in lacking.items() if splits]
    if small:
        remedy = shlex.quote(f"train.exclude_labels={json.dumps(small, ensure_ascii=False)}")
        raise DataError(
            [
                *(
                    f"Class '{label}' has no groups in {' and '.join(lacking[label])} ({_counted(groups[label])})."
                    for label in small
                ),
                f"Label more of what is lacking, or leave it out: --set {remedy}",
            ]
        )


def _counted(found: Mapping[str, int]) -> str:
    return ", ".join(f"{found.get(split, 0)} groups in {split}" for split in SPLITS)

"""Decide which classes are trained, and whether the test split can evaluate them.

The group is the independent unit: its images are near copies, so the number of groups, not of images, says how well a
class is covered. The split of a group is a hash and never changes, so the few groups of a rare class may all fall into
one split. Then test cannot evaluate the class, and the whole set is evaluated by grouped cross-validation instead
(stages/train/evaluate.py).
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from pipelines.errors import DataError
from pipelines.evaluation.inputs import format_list
from pipelines.evaluation.split import SPLITS, Counts

MIN_GROUPS_SETTING = "train.min_groups_per_class"
MIN_GROUPS = 2  # for an evaluation: one to train on, another to predict


@dataclass(frozen=True)
class Coverage:
    """The classes of a training set, by what their number of groups allows.

    `classes` are trained; `evaluated` are those of them with at least two groups, of which a model did not choose all
    for review. `left_out` maps classes with fewer
    groups than the setting requires to their number of images. `unlearned` are trained classes without a group in the
    training splits, `untested` evaluated classes without a group in test.
    """

    classes: tuple[str, ...]
    evaluated: tuple[str, ...]
    left_out: Mapping[str, int]
    unlearned: tuple[str, ...] = ()
    untested: tuple[str, ...] = ()

    @property
    def not_evaluated(self) -> tuple[str, ...]:
        return tuple(label for label in self.classes if label not in self.evaluated)


def check_coverage(
    counts: Counts,
    min_groups: int,
    training_splits: Sequence[str],
    classes_of_interest: Sequence[str] = (),
    unbiased: Container[str] | None = None,
) -> Coverage:
    """Return the coverage of labelled images, counted by label and split.

    `training_splits` are the splits that the model is trained on, `classes_of_interest` those that the settings name.
    `unbiased` are the classes with images that no model chose for review; null: all.
    Raises DataError if fewer than two classes could be trained or evaluated, or if a class of interest would be left
    out.
    """
    _require_classes(counts)
    groups = {label: sum(n for _, n in splits.values()) for label, splits in sorted(counts.items())}
    images = {label: sum(n for n, _ in splits.values()) for label, splits in counts.items()}
    left_out = {label: images[label] for label, n in groups.items() if n < min_groups}
    classes = tuple(label for label in groups if label not in left_out)
    evaluated = tuple(
        label for label in classes if groups[label] >= MIN_GROUPS and (unbiased is None or label in unbiased)
    )
    _require_enough(groups, left_out, min_groups, classes_of_interest)
    return Coverage(
        classes,
        evaluated,
        left_out,
        tuple(label for label in classes if not _count_groups(counts[label], training_splits)),
        tuple(label for label in evaluated if not _count_groups(counts[label], ["test"])),
    )


def _count_groups(splits: Mapping[str, tuple[int, int]], names: Sequence[str]) -> int:
    return sum(splits.get(name, (0, 0))[1] for name in names)


def _require_classes(counts: Counts) -> None:
    if not counts:
        raise DataError(
            "Table images has no rows with a label and features. "
            "Give labels with --labels CSV, or by one folder per class, and featurize."
        )
    if len(counts) == 1:
        ((only, splits),) = counts.items()
        counted = ", ".join(f"{_count_groups(splits, [split])} groups in {split}" for split in SPLITS)
        raise DataError(
            f"There is only one class, '{only}' ({counted}); a classifier needs two. "
            "Label other images too, such as those without an animal as 'blank'."
        )


def _require_enough(
    groups: Mapping[str, int], left_out: Mapping[str, int], min_groups: int, classes_of_interest: Sequence[str]
) -> None:
    faults = []
    enough = sum(n >= max(min_groups, MIN_GROUPS) for n in groups.values())
    if enough < 2:
        few = [label for label, n in groups.items() if n < max(min_groups, MIN_GROUPS)]
        remedy = "Label more encounters of each class, or check that sources.labels names the species column."
        if min_groups > MIN_GROUPS and sum(n >= MIN_GROUPS for n in groups.values()) >= 2:
            remedy = (
                f"Label more encounters of each class, or train with fewer: --set {MIN_GROUPS_SETTING}={MIN_GROUPS}."
            )
        faults.append(
            f"{len(few):,} of {len(groups):,} classes have images of fewer than {max(min_groups, MIN_GROUPS)} groups "
            f"(encounters): {format_list(few)}. At least two classes with that many are needed to train and evaluate "
            f"a classifier. {remedy}"
        )
    elif named := [label for label in classes_of_interest if label in left_out]:
        faults.append(
            f"train.classes_of_interest names {format_list(named)}, with images of fewer than {min_groups} groups "
            f"(encounters), the minimum of {MIN_GROUPS_SETTING}. Label more encounters, or train without evaluating "
            f"the class: --set {MIN_GROUPS_SETTING}={max(1, min(groups[label] for label in named))}."
        )
    if faults:
        raise DataError(faults)

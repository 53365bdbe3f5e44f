"""Decide which classes are trained, and whether the test split can evaluate them.

A group is the unit of evidence: its images are near copies, so a class is only as well covered as it has groups. The
split of a group is a hash and never changes, so the few groups of a rare class may all lie on one side of it. Then
test cannot evaluate the class, and the whole set is evaluated by grouped cross-validation instead (stages/measuring).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.errors import DataError
from pipelines.evaluation.inputs import format_list
from pipelines.evaluation.split import SPLITS, Counts

SETTING = "train.min_groups_per_class"
MIN_GROUPS = 2  # groups that an evaluation takes: one to learn from, another to predict


@dataclass(frozen=True)
class Coverage:
    """Hold the classes of a training by what can be done with them.

    `classes` are trained, `evaluated` are those of them with at least two groups. `left_out` maps classes with fewer
    groups than the setting wants to their number of images. `unlearned` are trained classes none of whose groups lies
    in the splits that are learned from, `untested` evaluated ones without a group in test.
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
    counts: Counts, min_groups: int, learned: Sequence[str], interesting: Sequence[str] = ()
) -> Coverage:
    """Return the coverage of labelled images, counted by label and split.

    `learned` names the splits that are learned from, `interesting` the classes that the settings name. Raises DataError
    where fewer than two classes could be trained or evaluated, or where a named class would be left out.
    """
    _require_classes(counts)
    groups = {label: sum(found for _, found in splits.values()) for label, splits in sorted(counts.items())}
    images = {label: sum(found for found, _ in splits.values()) for label, splits in counts.items()}
    left_out = {label: images[label] for label, found in groups.items() if found < min_groups}
    classes = tuple(label for label in groups if label not in left_out)
    evaluated = tuple(label for label in classes if groups[label] >= MIN_GROUPS)
    _require_enough(groups, left_out, min_groups, interesting)
    return Coverage(
        classes,
        evaluated,
        left_out,
        tuple(label for label in classes if not _groups_in(counts[label], learned)),
        tuple(label for label in evaluated if not _groups_in(counts[label], ["test"])),
    )


def _groups_in(splits: Mapping[str, tuple[int, int]], names: Sequence[str]) -> int:
    return sum(splits.get(name, (0, 0))[1] for name in names)


def _require_classes(counts: Counts) -> None:
    if not counts:
        raise DataError(
            "Table images has no rows with a label and features. "
            "Give labels with --labels CSV, or by one folder per class, and featurize."
        )
    if len(counts) == 1:
        ((only, splits),) = counts.items()
        counted = ", ".join(f"{_groups_in(splits, [split])} groups in {split}" for split in SPLITS)
        raise DataError(
            f"There is only one class, '{only}' ({counted}); a classifier needs two. "
            "Label other images too, such as those without an animal as 'blank'."
        )


def _require_enough(
    groups: Mapping[str, int], left_out: Mapping[str, int], min_groups: int, interesting: Sequence[str]
) -> None:
    faults = []
    enough = sum(found >= max(min_groups, MIN_GROUPS) for found in groups.values())
    if enough < 2:
        few = [label for label, found in groups.items() if found < max(min_groups, MIN_GROUPS)]
        remedy = "Label more encounters of each class, or check that sources.labels names the column of the species."
        if min_groups > MIN_GROUPS and sum(found >= MIN_GROUPS for found in groups.values()) >= 2:
            remedy = f"Label more encounters of each class, or train them as they are: --set {SETTING}={MIN_GROUPS}."
        faults.append(
            f"{len(few):,} of {len(groups):,} classes have images of fewer than {max(min_groups, MIN_GROUPS)} groups "
            f"(encounters): {format_list(few)}. At least two classes with as many are needed to train and evaluate a "
            f"classifier. {remedy}"
        )
    elif named := [label for label in interesting if label in left_out]:
        faults.append(
            f"train.classes_of_interest names {format_list(named)}, with images of fewer than {min_groups} groups "
            f"(encounters), the least that {SETTING} asks for. Label more encounters, or train without an evaluation "
            f"of the class: --set {SETTING}={max(1, min(groups[label] for label in named))}."
        )
    if faults:
        raise DataError(faults)

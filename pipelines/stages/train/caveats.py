"""Caveats: what a reader must know beside the figures of an evaluation, in whole sentences.

They stand in the closing notes of train, in the version's evaluation file, in its card and in the report.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.evaluation.data_checks import MIN_GROUPS_SETTING, Coverage
from pipelines.evaluation.group_ids import group_basis
from pipelines.evaluation.inputs import format_list
from pipelines.evaluation.leakage import THRESHOLD, Leakage
from pipelines.evaluation.measurements import HeldOutPredictions
from pipelines.formatting import pluralize
from pipelines.stages.train.training_data import Selection

GUESSED_BASES = {
    "file name": "found by file name and time, neither station nor camera is known",
    "file order": "found by the order of files, the time is unknown",
    "image": "of one image each, station and camera or time are unknown",
}
MAX_MIXED_FRACTION = 0.1  # share of the bursts: more contradictions than people cause who label frame by frame


def find_caveats(selection: Selection, measured: HeldOutPredictions, leakage: Leakage) -> tuple[str, ...]:
    """Return all caveats of a training, the most general first."""
    found = [
        *coverage_caveats(selection, measured.folds),
        *group_caveats(selection.rows),
        *burst_caveats(selection.rows),
        *leakage_caveats(leakage, measured.folds),
        *vote_caveats(measured),
    ]
    return tuple(found)


def coverage_caveats(selection: Selection, folds: int) -> list[str]:
    """Say how the classes were evaluated where the test split could not do it, and which of them were not."""
    coverage, moved, found = selection.coverage, selection.moved, []
    if folds:
        untested = coverage.untested
        classes = pluralize(len(coverage.evaluated), "class", "classes")
        found.append(
            f"The figures are of {folds}-fold cross-validation over the groups of all splits, every image predicted by "
            f"a model that has not seen its group: {len(untested):,} of {classes} "
            f"without a group in test ({format_list(untested)}). The registered model learned from train and validation; "
            "later versions are compared with it on test."
        )
    if moved:
        found.append(
            f"{pluralize(len(moved), 'group')} outside train, first {moved[0]}, learned from all the same: there is a "
            "class with no other group. No later version is compared on them."
        )
    if labels := coverage.not_evaluated:
        found.append(
            f"Trained, but not evaluated, because all images are of one group: {format_list(labels)}. "
            "How well the model finds them is not known."
        )
    if coverage.left_out:
        remedy = f"The model takes such images for other classes. Label more encounters, or set {MIN_GROUPS_SETTING}=1."
        found.append(f"{describe_left_out(coverage)} {remedy}")
    return found


def describe_left_out(coverage: Coverage) -> str:
    """Count the classes that are left out, and their images."""
    images = pluralize(sum(coverage.left_out.values()), "image")
    names = format_list(list(coverage.left_out))
    classes = pluralize(len(coverage.left_out), "class", "classes")
    return f"{classes} with too few groups ({MIN_GROUPS_SETTING}) left out, {images}: {names}."


def group_caveats(rows: DataFrame) -> list[str]:
    """Count the images whose groups rest on guesses, because station, camera or time is unknown; rows have group_id."""
    counted = rows.groupBy(group_basis(F.col("group_id")).alias("basis")).count().collect()
    images = {row["basis"]: row["count"] for row in counted}
    guesses = [f"{what} ({images[basis]:,})" for basis, what in GUESSED_BASES.items() if images.get(basis)]
    if not guesses:
        return []
    guessed = sum(images.get(basis, 0) for basis in GUESSED_BASES)
    return [
        f"The groups of {guessed:,} of {pluralize(sum(images.values()), 'image')} rest on guesses: {', '.join(guesses)}. "
        "Where they are wrong, images of one encounter are on both sides of the split, and the figures are too high. "
        "Set sources.station, or give station and captured_at with the labels."
    ]


def burst_caveats(rows: DataFrame) -> list[str]:
    """Count the bursts whose labelled images contradict each other; rows have path, label, burst_id."""
    image = F.struct("label", "path")
    ends = rows.groupBy("burst_id").agg(F.count("*").alias("n"), F.min(image).alias("one"), F.max(image).alias("other"))
    is_mixed = F.col("one.label") != F.col("other.label")
    example = F.min(F.when(is_mixed, F.struct("one", "other")))
    several, mixed, first = ends.where("n > 1").agg(F.count("*"), F.count(F.when(is_mixed, 1)), example).first()
    if not mixed:
        return []
    pair = " and ".join(f"{_shorten(each['path'])} ({each['label']})" for each in (first["one"], first["other"]))
    text = (
        f"{mixed:,} of {pluralize(several, 'burst')} with several labelled images hold contradicting labels "
        f"({mixed / several:.0%}), first {pair}."
    )
    if mixed / several > MAX_MIXED_FRACTION:
        text += " Images of different cameras may have been joined: check sources.station and the capture times."
    return [text]


def leakage_caveats(leakage: Leakage, folds: int) -> list[str]:
    """Warn where images that were predicted have a near-identical image among those learned from."""
    if not leakage.is_worth_a_warning or leakage.first is None:
        return []
    one, other = map(_shorten, leakage.first)
    kind, where = ("", "another fold") if folds else ("test ", "train or validation")
    return [
        f"{leakage.found:,} of {leakage.checked:,} {kind}images that are not blank have a near-identical image in "
        f"{where} (cosine of their features at least {THRESHOLD:g}), first {one} = {other}; the figures may be too "
        "high. Frames of one trigger may have been taken for different groups: check stations and capture times."
    ]


def vote_caveats(measured: HeldOutPredictions) -> list[str]:
    """Warn where the vote of the bursts, which helped on images held out in training, does harm in the evaluation."""
    own, voted = (
        each.evaluate(bootstrap=0).metrics["balanced_accuracy"].value or 0.0
        for each in (measured.predictions, measured.burst_predictions)
    )
    if voted >= own - 1e-12:
        return []
    return [
        f"The vote of the bursts lowers balanced accuracy from {own:.3f} to {voted:.3f}; train.burst_aggregation=none lets every "
        "image keep its own prediction."
    ]


def _shorten(path: str) -> str:
    """Return the last three parts of a path: a file's name alone is often that of several."""
    return "/".join(path.split("/")[-3:])

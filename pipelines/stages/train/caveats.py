"""Caveats of an evaluation, in full sentences.

They appear in the notes of train, in the version's evaluation file, in its model card and in the report.
"""

from __future__ import annotations

from collections import Counter

from pipelines.classifiers.training_set import TrainingSet
from pipelines.evaluation.data_checks import MIN_GROUPS, MIN_GROUPS_SETTING, Coverage
from pipelines.evaluation.held_out import HeldOutPredictions
from pipelines.evaluation.inputs import format_list
from pipelines.evaluation.leakage import THRESHOLD, Leakage
from pipelines.formatting import pluralize
from pipelines.stages.train.training_data import Selection

GUESSED_BASES = {
    "file name": "found by file name and time, station and camera are unknown",
    "file order": "found by file order, the time is unknown",
    "image": "of one image each, station and camera or time are unknown",
}
UNBIASED_REMEDY = "Label a random sample too: the audit queue of `irbis review`."
MAX_MIXED_FRACTION = 0.1  # of the bursts: people who label frame by frame cause fewer contradictions


def find_caveats(
    selection: Selection, measured: HeldOutPredictions, leakage: Leakage, stopped_at: int | None = None
) -> tuple[str, ...]:
    """Return all caveats of a training, the most general first.

    `stopped_at`: iterations after which the solver of the registered model stopped without convergence.
    """
    caveats = [
        *coverage_caveats(selection, measured.folds),
        *group_caveats(selection.rows),
        *burst_caveats(selection.rows),
        *leakage_caveats(leakage, measured.folds),
        *vote_caveats(measured),
        *convergence_caveats(stopped_at),
    ]
    return tuple(caveats)


def coverage_caveats(selection: Selection, folds: int) -> list[str]:
    """Return caveats on classes that the test split could not evaluate, and on classes without evaluation."""
    coverage, moved, caveats = selection.coverage, selection.moved, []
    if folds:
        untested = coverage.untested
        classes = pluralize(len(coverage.evaluated), "class", "classes")
        caveats.append(
            f"The metrics are from {folds}-fold cross-validation over the groups of all splits, each image predicted "
            f"by a model trained without its group, because {len(untested):,} of {classes} have no group in test "
            f"({format_list(untested)}). The registered model was trained on train and validation; "
            "later versions are compared with it on test."
        )
    if moved:
        caveats.append(
            f"{pluralize(len(moved), 'group')} outside train, first {moved[0]}, moved to train: their class has no "
            "other group. Later versions are not compared on them."
        )
    groups = selection.rows.images.groupby("label")["group_id"].nunique()
    if labels := [label for label in coverage.not_evaluated if groups[label] < MIN_GROUPS]:
        caveats.append(
            f"Trained, but not evaluated, because all images are in one group: {format_list(labels)}. "
            "How well the model finds them is unknown."
        )
    if labels := [label for label in coverage.not_evaluated if groups[label] >= MIN_GROUPS]:
        caveats.append(
            f"Trained, but not evaluated, because a model chose all their images for review: {format_list(labels)}. "
            f"How well the model finds them is unknown. {UNBIASED_REMEDY}"
        )
    if selection.evaluates_chosen:
        caveats.append(
            "The metrics include images that a model chose for review, because there are too few others. Such images "
            f"are harder than those of the survey. {UNBIASED_REMEDY}"
        )
    if coverage.left_out:
        remedy = (
            f"The model predicts other classes for such images. Label more encounters, or set {MIN_GROUPS_SETTING}=1."
        )
        caveats.append(f"{describe_left_out(coverage)} {remedy}")
    return caveats


def describe_left_out(coverage: Coverage) -> str:
    """Return a sentence on the classes that are left out, with the number of their images."""
    images = pluralize(sum(coverage.left_out.values()), "image")
    names = format_list(list(coverage.left_out))
    classes = pluralize(len(coverage.left_out), "class", "classes")
    return f"{classes} with too few groups ({MIN_GROUPS_SETTING}) left out, {images}: {names}."


def group_caveats(rows: TrainingSet) -> list[str]:
    """Return a caveat on groups that are guessed, because station, camera or time is unknown."""
    images = Counter(rows.column("basis"))
    guesses = [f"{what} ({images[basis]:,})" for basis, what in GUESSED_BASES.items() if images.get(basis)]
    if not guesses:
        return []
    guessed = sum(images.get(basis, 0) for basis in GUESSED_BASES)
    return [
        f"The groups of {guessed:,} of {pluralize(sum(images.values()), 'image')} are guessed: {', '.join(guesses)}. "
        "Where they are wrong, images of one encounter are on both sides of the split, and the metrics are too high. "
        "Set sources.station, or give station and captured_at with the labels."
    ]


def burst_caveats(rows: TrainingSet) -> list[str]:
    """Return a caveat on bursts with contradicting labels."""
    bursts: dict[str, list[tuple[str, str]]] = {}
    for burst, label, path in zip(*(rows.column(name) for name in ("burst_id", "label", "path")), strict=True):
        bursts.setdefault(burst, []).append((label, path))
    several = [images for images in bursts.values() if len(images) > 1]
    mixed = [(min(images), max(images)) for images in several if len({label for label, _ in images}) > 1]
    if not mixed:
        return []
    pair = " and ".join(f"{_shorten(path)} ({label})" for label, path in min(mixed))
    share = len(mixed) / len(several)
    text = (
        f"{len(mixed):,} of {pluralize(len(several), 'burst')} with several labelled images have contradicting labels "
        f"({share:.0%}), first {pair}."
    )
    if share > MAX_MIXED_FRACTION:
        text += " Images of different cameras may be in one burst: check sources.station and the capture times."
    return [text]


def leakage_caveats(leakage: Leakage, folds: int) -> list[str]:
    """Return a caveat if evaluation images have a near-identical image among the training images."""
    if not leakage.is_worth_a_warning or leakage.first is None:
        return []
    one, other = map(_shorten, leakage.first)
    kind, where = ("", "another fold") if folds else ("test ", "train or validation")
    return [
        f"{leakage.found:,} of {leakage.checked:,} {kind}images that are not blank have a near-identical image in "
        f"{where} (cosine of their features at least {THRESHOLD:g}), first {one} = {other}; the metrics may be too "
        "high. Frames of one trigger may be in different groups: check stations and capture times."
    ]


def vote_caveats(measured: HeldOutPredictions) -> list[str]:
    """Return a caveat if the burst vote, which helped on validation images, lowers the accuracy in the evaluation."""
    single, voted = (
        predictions.evaluate(bootstrap=0).metrics["balanced_accuracy"].value or 0.0
        for predictions in (measured.predictions, measured.burst_predictions)
    )
    if voted >= single - 1e-12:
        return []
    return [
        f"The burst vote lowers balanced accuracy from {single:.3f} to {voted:.3f}; with train.burst_aggregation=none "
        "each image keeps its own prediction."
    ]


def convergence_caveats(stopped_at: int | None) -> list[str]:
    """Return a caveat if the solver of the registered model stopped before the optimum."""
    if stopped_at is None:
        return []
    return [
        f"The logistic regression did not converge in {pluralize(stopped_at, 'iteration')}: its probabilities would "
        f"change with more. Set train.max_iter={10 * stopped_at}."
    ]


def _shorten(path: str) -> str:
    """Return the last three parts of a path: file names alone are often ambiguous."""
    return "/".join(path.split("/")[-3:])

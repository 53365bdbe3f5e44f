"""Compare splits: metrics of a random split of frames beside those of a split by groups, on the user's data."""

from __future__ import annotations

from pyspark.sql import SparkSession

from pipelines.backbones import feature_id
from pipelines.classifiers.training_set import TrainingSet
from pipelines.config.settings import Settings, Train
from pipelines.errors import DataError
from pipelines.evaluation.results import Evaluation, align_columns, truncate
from pipelines.feature_ids import featurize_options
from pipelines.metrics.registry import all_metrics
from pipelines.stages.train.caveats import describe_left_out
from pipelines.stages.train.fit import fit_cross_validated
from pipelines.stages.train.training_data import (
    require_consistent_labels,
    select_rows,
    training_rows,
)
from pipelines.workspace.journals import merge_journals
from pipelines.workspace.tables import Tables

SPLIT_UNITS = {"frames at random": "content_hash", "groups": "group_id"}
MIN_GROUPS = 20  # with fewer, each group moves a recall by more than 0.05


def compare_splits_report(spark: SparkSession, settings: Settings) -> str:
    """Return a table of one classifier, cross-validated over random frames and over whole groups."""
    tables = Tables.of(spark, settings)
    tables.require("features")
    merge_journals(tables)
    identity = feature_id(settings)
    rows = TrainingSet.collect(training_rows(tables, settings, identity))
    if not len(rows):
        raise DataError(
            f"No labelled image has features of {identity}. "
            f"Run `irbis featurize {featurize_options(identity)}` with the same weights and images "
            "settings first."
        )
    require_consistent_labels(tables, rows, settings)
    selection = select_rows(rows, settings.train)
    evaluations = compare_splits(selection.rows, settings.train)
    rows.store.release()
    groups = selection.rows.images.groupby("label")["group_id"].nunique()
    text = format_comparison(evaluations, {label: int(count) for label, count in groups.items()})
    return f"{text}\n{describe_left_out(selection.coverage)}" if selection.coverage.left_out else text


def compare_splits(rows: TrainingSet, settings: Train) -> dict[str, Evaluation]:
    """Return out-of-fold evaluations by split unit.

    The intervals of both are over groups: the split unit does not change which images are independent. Groups that a
    model chose for review are trained on and not evaluated.
    """
    classes, groups = rows.classes, rows.count_groups()
    folds = min(settings.cv_folds or 5, groups)
    if len(classes) < 2 or folds < 2:
        raise DataError(
            f"Labelled images with features have {len(classes)} classes and {groups} groups; "
            "comparing splits needs two of each."
        )
    evaluations, chosen = {}, set(rows.where(rows.is_model_chosen).column("group_id"))
    for name, unit in SPLIT_UNITS.items():
        fitted = fit_cross_validated(rows.with_folds(folds, settings.split_salt, unit), classes, settings, folds)
        if fitted.predictions is None:
            raise DataError("No class has groups in two folds: there is nothing to compare. Label more encounters.")
        evaluated = fitted.predictions.without_groups(chosen) or fitted.predictions
        evaluations[name] = evaluated.evaluate(settings.bootstrap_resamples)
    return evaluations


def format_comparison(evaluations: dict[str, Evaluation], groups: dict[str, int]) -> str:
    """Return both evaluations side by side, with the difference, and the classes with few groups."""
    first, second = evaluations.values()
    rows = [["", *evaluations, "overestimate"]]
    for name in (name for name, metric in all_metrics().items() if metric.higher_is_better):
        one, other = first.metrics[name], second.metrics[name]
        rows.append([name.replace("_", " "), one.format(), other.format(), _format_difference(one.value, other.value)])
    for label, metrics in second.per_class.items():
        one, other = first.per_class[label].recall, metrics.recall
        rows.append(
            [f"recall of {truncate(label)}", one.format(2), other.format(2), _format_difference(one.value, other.value)]
        )
    head = f"{second.rows:,} images in {second.groups:,} groups; {second.confidence:.0%} intervals over groups"
    few = [f"{truncate(label)} ({count})" for label, count in groups.items() if count < MIN_GROUPS]
    lines = [head, "", *align_columns(rows)]
    if few:
        lines += ["", f"In fewer than {MIN_GROUPS} groups, so that their metrics are unreliable: {', '.join(few)}."]
    return "\n".join(lines)


def _format_difference(one: float | None, other: float | None) -> str:
    return "-" if one is None or other is None else f"{one - other:+.3f}"

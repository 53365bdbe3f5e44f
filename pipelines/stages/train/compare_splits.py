"""Compare splits: what a random split of frames would have claimed, beside the truth by groups, on one's own data."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.backbones import feature_id
from pipelines.config.settings import Settings, Train
from pipelines.errors import DataError
from pipelines.evaluation.results import Evaluation, align_columns, truncate
from pipelines.schemas import backbone_names
from pipelines.stages.train.caveats import describe_left_out
from pipelines.stages.train.training_data import (
    fit_cross_validated,
    require_consistent_labels,
    select_rows,
    training_rows,
)
from pipelines.workspace.tables import Tables

SPLIT_UNITS = {"frames at random": "content_hash", "groups": "group_id"}
REPORTED_METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "mean_average_precision")
MIN_GROUPS = 20  # groups; of fewer a recall moves by more than a twentieth with each of them


def compare_splits_report(spark: SparkSession, settings: Settings) -> str:
    """Give a table of the same classifier, cross-validated over frames dealt at random and over whole groups."""
    tables = Tables.of(spark, settings)
    tables.require("features")
    identity = feature_id(settings)
    rows = training_rows(tables, settings, identity).cache()
    if not rows.head(1):
        raise DataError(
            f"No labelled image has features of {identity}. Run `irbis featurize --backbone {backbone_names(identity)}` "
            "with the same weights and images settings first."
        )
    require_consistent_labels(tables, rows, settings)
    selection = select_rows(rows, settings.train)
    found = compare_splits(selection.rows, settings.train)
    groups = F.countDistinct("group_id").alias("groups")
    counted = selection.rows.groupBy("label").agg(groups).orderBy("label").collect()
    rows.unpersist()
    text = format_comparison(found, {row["label"]: row["groups"] for row in counted})
    return f"{text}\n{describe_left_out(selection.coverage)}" if selection.coverage.left_out else text


def compare_splits(rows: DataFrame, settings: Train) -> dict[str, Evaluation]:
    """Give the figures by how the folds were dealt; every image is judged by a model that has not seen its fold.

    The intervals of both are over groups: how the folds were dealt does not change what is independent evidence.
    """
    classes = sorted(row["label"] for row in rows.select("label").distinct().collect())
    groups = rows.select("group_id").distinct().count()
    folds = min(settings.cv_folds or 5, groups)
    if len(classes) < 2 or folds < 2:
        raise DataError(
            f"Labelled images with features are of {len(classes)} classes and {groups} groups; "
            "to compare splits takes two of each."
        )
    found = {}
    for name, unit in SPLIT_UNITS.items():
        _, said = fit_cross_validated(rows, classes, settings, folds, unit)
        if said is None:
            raise DataError("No class has groups in two folds: there is nothing to compare. Label more encounters.")
        found[name] = said.evaluate(settings.bootstrap_resamples)
    return found


def format_comparison(found: dict[str, Evaluation], groups: dict[str, int]) -> str:
    """Give both side by side, with how much the first claims too much, and the classes that live in few groups."""
    first, second = found.values()
    rows = [["", *found, "claimed too much"]]
    for name in REPORTED_METRICS:
        one, other = first.metrics[name], second.metrics[name]
        rows.append([name.replace("_", " "), one.format(), other.format(), _format_difference(one.value, other.value)])
    for label, figures in second.per_class.items():
        one, other = first.per_class[label].recall, figures.recall
        rows.append(
            [f"recall of {truncate(label)}", one.format(2), other.format(2), _format_difference(one.value, other.value)]
        )
    head = f"{second.rows:,} images in {second.groups:,} groups; {second.confidence:.0%} intervals over groups"
    few = [f"{truncate(label)} ({count})" for label, count in groups.items() if count < MIN_GROUPS]
    lines = [head, "", *align_columns(rows)]
    if few:
        lines += ["", f"In fewer than {MIN_GROUPS} groups, so that their figures say little: {', '.join(few)}."]
    return "\n".join(lines)


def _format_difference(one: float | None, other: float | None) -> str:
    return "-" if one is None or other is None else f"{one - other:+.3f}"

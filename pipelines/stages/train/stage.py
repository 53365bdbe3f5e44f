"""Train: fit a classifier on labelled features, register it, and make it champion if it beats the champion.

The split is by groups: a model is evaluated on images of encounters that it was not trained on.
"""

from __future__ import annotations

import importlib

from pyspark.sql import DataFrame, SparkSession

from pipelines.backbones import feature_id
from pipelines.classifiers.training_set import TrainingSet
from pipelines.config.settings import Score, Settings
from pipelines.evaluation.predictions import PredictionSet
from pipelines.label_text import require_known_labels
from pipelines.stages.result import StageResult, Stopwatch
from pipelines.stages.train.caveats import find_caveats
from pipelines.stages.train.evaluate import check_leakage, cross_validate_pipeline, evaluate_on_test
from pipelines.stages.train.fit import fit_pipeline
from pipelines.stages.train.gate import find_gated_version, require_comparable_champion
from pipelines.stages.train.register import PLOTS, register, version_tags
from pipelines.stages.train.result import TrainingResult
from pipelines.stages.train.suspects import find_label_errors, write_suspects
from pipelines.stages.train.training_data import (
    Selection,
    require_consistent_labels,
    select_rows,
    training_fingerprint,
    training_rows,
)
from pipelines.tracking import served_models
from pipelines.tracking.mlflow_client import ModelVersion, Tracking
from pipelines.tracking.stored_models import list_packages
from pipelines.workspace.journals import journal_notes, merge_journals
from pipelines.workspace.tables import Tables

TRAINED_ON = ("images", "features", "labels")  # tables


def train(rows: DataFrame, settings: Settings) -> TrainingResult:
    """Fit a classifier on rows of path, content_hash, features, label, burst_id, group_id, split, and evaluate it.

    The model is trained on train and validation. It is evaluated on test, if test has images of every class with at
    least two groups; otherwise by nested cross-validation over the groups of all splits. Groups that a model chose for
    review (`is_model_chosen`) are trained on and not evaluated. Raises DataError if there are too few images or groups.
    """
    return train_selected(_select(TrainingSet.collect(rows), settings), settings)


def train_selected(selection: Selection, settings: Settings) -> TrainingResult:
    """Fit and evaluate a classifier on selected rows, as `train` does."""
    options, rows, coverage = settings.train, selection.rows, selection.coverage
    fitted = fit_pipeline(rows.in_split("train", "validation"), coverage.classes, options)
    if coverage.untested:
        measured = cross_validate_pipeline(rows, coverage.classes, coverage.evaluated, options)
    else:
        measured = evaluate_on_test(fitted, rows.in_split("test"), coverage.classes, coverage.evaluated)
    leakage = check_leakage(rows, options, measured.folds)
    chosen = rows.where(rows.is_model_chosen).column("group_id")
    unbiased = fitted.validation.without_groups(chosen) if fitted.validation else None
    return TrainingResult(
        fitted.model,
        list(coverage.classes),
        fitted.parameters,
        fitted.policy,
        test=measured.predictions.evaluate(options.bootstrap_resamples),
        burst_test=measured.burst_predictions.evaluate(options.bootstrap_resamples),
        validation=unbiased.evaluate(options.bootstrap_resamples) if unbiased else None,
        operating_points=measured.measure_operating_points(fitted.policy, options.bootstrap_resamples),
        ece_before=_calibration_error(measured.uncalibrated),
        folds=measured.folds,
        caveats=find_caveats(selection, measured, leakage, None if fitted.converged else options.max_iter),
        leakage=leakage,
        label_errors=find_label_errors(rows, (fitted.validation, measured.predictions), options.label_errors),
    )


def _select(rows: TrainingSet, settings: Settings) -> Selection:
    if labels := rows.classes:
        requested = settings.train.classes_of_interest
        require_known_labels("train.classes_of_interest", requested, labels, "training image")
    return select_rows(rows, settings.train)


def _calibration_error(predictions: PredictionSet) -> float:
    return predictions.evaluate(bootstrap=0).metrics["calibration_error"].value or 0.0


def prepare(settings: Settings) -> None:
    """Do what needs no Spark and would keep the driver waiting: connect to MLflow, and import matplotlib."""
    Tracking.of(settings)
    list_packages()
    importlib.import_module(PLOTS)


def run(spark: SparkSession, settings: Settings) -> StageResult:
    """Train on all labelled features of settings.featurize.backbone, and register the model version."""
    clock, tables, tracking = Stopwatch(), Tables.of(spark, settings), Tracking.of(settings)
    tracking.mark_stale_runs_killed()
    tables.require("features")
    backbone = feature_id(settings)
    merge_journals(tables)
    versions = {f"table_version.{name}": tables.version(name) for name in TRAINED_ON if tables.exists(name)}
    rows = TrainingSet.collect(training_rows(tables, settings, backbone))
    fingerprint = training_fingerprint(rows, settings, backbone)
    same = [version for version in tracking.versions() if version.tags.get("fingerprint") == fingerprint]
    if existing := find_gated_version(tracking, same):
        notes = tuple(journal_notes(tables.workspace))
        return StageResult("train", seconds=clock.seconds, notes=notes, outcome=_noop_outcome(existing))
    require_consistent_labels(tables, rows, settings)
    for unfinished in same:  # of a run that was killed between registering and the gate
        served_models.delete(tracking, unfinished)
        tracking.delete(unfinished)
    require_comparable_champion(tables, tracking)
    selection = _select(rows, settings)
    trained = train_selected(selection, settings)
    tags = version_tags(settings, selection, trained, backbone, fingerprint)
    version, decision, served_notes = register(tables, tracking, settings, selection, trained, tags, versions)
    write_suspects(tables, trained.label_errors, selection.rows, version.version)
    rows.store.release()
    accuracy = trained.test.metrics["balanced_accuracy"].format()
    outcome = f"{version} {decision}; {trained.method} balanced accuracy {accuracy}"
    return StageResult(
        "train",
        len(selection.rows),
        1,
        seconds=clock.seconds,
        notes=(
            *journal_notes(tables.workspace),
            *trained.notes,
            *served_notes,
            *_policy_notes(trained, settings.score),
        ),
        outcome=outcome,
        noop_outcome=_noop_outcome(version),
        artifacts={"model": version.version},
    )


def _policy_notes(trained: TrainingResult, settings: Score) -> tuple[str, ...]:
    lacking = trained.policy.classes_without_threshold(settings.recall_unit, settings.target_recall)
    if not lacking or len(trained.policy.classes_of_interest) == len(trained.classes):
        return ()  # if every class is of interest, score uses no thresholds
    required = round(1 / (1 - settings.target_recall))
    return (
        f"fewer than {required} groups of {', '.join(lacking)} were held out, too few for an operating point at recall "
        f"{settings.target_recall:g}: images predicted as such, and uncertain ones, need review. "
        "Label more encounters.",
    )


def _noop_outcome(version: ModelVersion) -> str:
    return f"{version} was trained on the same data and settings: nothing to do"

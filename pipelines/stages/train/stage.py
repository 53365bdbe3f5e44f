"""Train: fit a classifier on labelled features, register it, and make it champion if it beats the champion.

The split is by groups: a model is evaluated on images of encounters that it was not trained on.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from pipelines.backbones import feature_id
from pipelines.classifiers.estimators import describe
from pipelines.classifiers.solvers import choose_solver
from pipelines.classifiers.training_set import TrainingSet
from pipelines.config.loader import flatten
from pipelines.config.settings import Score, Settings
from pipelines.evaluation.predictions import PredictionSet
from pipelines.evaluation.split import SPLITS, split_size
from pipelines.label_text import require_known_labels
from pipelines.redaction import redact
from pipelines.reports.model_card import model_card
from pipelines.stages.result import StageResult, Stopwatch
from pipelines.stages.train.caveats import find_caveats
from pipelines.stages.train.evaluate import check_leakage, cross_validate_pipeline, evaluate_on_test
from pipelines.stages.train.fit import fit_pipeline
from pipelines.stages.train.gate import apply_gate, find_gated_version, require_comparable_champion
from pipelines.stages.train.result import TrainingResult
from pipelines.stages.train.serve import register_served_model
from pipelines.stages.train.suspects import RANKING_FILE, find_label_errors, write_suspects
from pipelines.stages.train.training_data import (
    Selection,
    count_images,
    require_consistent_labels,
    select_rows,
    training_fingerprint,
    training_rows,
)
from pipelines.tracking import served_models
from pipelines.tracking.code_version import code_version
from pipelines.tracking.mlflow_client import EVALUATION, ModelVersion, Tracking
from pipelines.tracking.stored_models import list_packages
from pipelines.workspace.journals import journal_notes, merge_journals
from pipelines.workspace.tables import Tables

PLOTS = "pipelines.reports.plots"  # matplotlib is imported while Spark starts
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
    tags = _tags(settings, selection, trained, backbone, fingerprint)
    version, decision, served_notes = _register(tables, tracking, settings, selection, trained, tags, versions)
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


def _describe_classifier(settings: Settings, trained: TrainingResult) -> str:
    """Return a description of the classifier and of the views of the images that it uses."""
    predicted = "averaged over both views" if trained.policy.average_flip else "of the unflipped images"
    views = f"; trained on flipped images too, predictions {predicted}" if settings.featurize.horizontal_flip else ""
    return describe(settings.train, trained.parameters) + views


def _tags(
    settings: Settings, selection: Selection, trained: TrainingResult, backbone: str, fingerprint: str
) -> dict[str, str]:
    train = settings.train
    return {
        "backbone": backbone,
        "learner": train.classifier,
        "classes": json.dumps(trained.classes),
        "fingerprint": fingerprint,
        "split": json.dumps({"fractions": train.fractions, "salt": train.split_salt, "moved": selection.learned}),
        "evaluation": trained.method,
        "metrics": json.dumps({name: interval.value for name, interval in trained.test.metrics.items()}),
        "review_policy": trained.policy.to_json(),
        **code_version(),
    }


def _selected_params(trained: TrainingResult) -> dict[str, Any]:
    """Return the selected parameters and the evaluation method, as parameters of the run."""
    weight = trained.policy.max_weight
    return {
        **trained.parameters,
        "temperature": trained.temperature,
        "average_flip": trained.policy.average_flip,
        "burst_vote.max_weight": "none" if weight is None else weight,
        "evaluation.method": trained.method,
        "evaluation.caveats": len(trained.caveats),
    }


def _register(
    tables: Tables,
    tracking: Tracking,
    settings: Settings,
    selection: Selection,
    trained: TrainingResult,
    tags: dict[str, str],
    table_versions: Mapping[str, int | None],
) -> tuple[ModelVersion, str, tuple[str, ...]]:
    """Log the run, register the version, and pass it through the gate; return its decision, and notes for the user."""
    plots = importlib.import_module(PLOTS)
    rows = selection.rows
    counts = count_images(rows)
    card = model_card(
        settings.tracking.model,
        tags["backbone"],
        counts,
        trained.test,
        _describe_classifier(settings, trained),
        burst_test=trained.burst_test,
        reviews=trained.operating_points,
        calibration=(trained.ece_before, trained.temperature),
        classes_of_interest=trained.policy.classes_of_interest,
        weights=settings.featurize.weights,
        folds=trained.folds,
        caveats=trained.caveats,
        labelled_by_people=int(rows.is_labelled_by_person.sum()),
    )
    with tracking.run("train", tags) as run_id:
        tracking.log(
            params={
                **redact(dict(flatten(settings.model_dump(by_alias=True)))),
                **_selected_params(trained),
                **table_versions,
                **{f"rows.{split}": split_size(counts, split) for split in SPLITS},
                "rows.left_out": sum(selection.coverage.left_out.values()),
                "rows.labelled_by_people": int(rows.is_labelled_by_person.sum()),
                "solver": choose_solver(rows, settings.train).name,
            },
            metrics=trained.mlflow_metrics(),
            texts={EVALUATION: trained.to_json(), "model_card.md": card, RANKING_FILE: trained.label_errors.to_csv()},
            figures={
                "plots/confusion.png": plots.confusion_figure(trained.test),
                "plots/classes.png": plots.class_figure(trained.test),
                "plots/reliability.png": plots.reliability_figure(trained.test),
            },
        )
        version = tracking.register(trained.model.to_pipeline(), run_id, tags, card)
        notes = register_served_model(tables, tracking, settings, trained, version)
        decision = apply_gate(tables, tracking, settings.train, rows.in_split("test"), trained.model, version)
        tracking.tag(version, gate=decision)
    return version, decision, notes

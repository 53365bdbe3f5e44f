"""Train: features with labels become a registered model version, and champion if it beats the champion.

The split is by groups: the images that evaluate a model are of encounters that it has never seen.
"""

from __future__ import annotations

import json
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from pipelines.backbones import feature_id
from pipelines.classifiers.estimators import describe
from pipelines.config.loader import flatten
from pipelines.config.settings import Score, Settings
from pipelines.evaluation.predictions import PredictionSet
from pipelines.evaluation.split import SPLITS, count_by_split, split_size
from pipelines.label_text import require_known_labels
from pipelines.redaction import redact
from pipelines.reports.model_card import model_card
from pipelines.stages.result import StageResult, Stopwatch
from pipelines.stages.train.caveats import find_caveats
from pipelines.stages.train.evaluate import check_leakage, cross_validate_pipeline, evaluate_on_test
from pipelines.stages.train.fit import fit_pipeline
from pipelines.stages.train.gate import apply_gate, require_judge, settle
from pipelines.stages.train.result import TrainingResult
from pipelines.stages.train.training_data import (
    Selection,
    require_sound_labels,
    select_rows,
    training_fingerprint,
    training_rows,
)
from pipelines.tracking.code_version import code_version
from pipelines.tracking.mlflow_client import EVALUATION, ModelVersion, Tracking
from pipelines.workspace.tables import Tables


def train(rows: DataFrame, settings: Settings) -> TrainingResult:
    """Fit a classifier on rows of path, content_hash, features, label, burst_id, group_id, split, and evaluate it.

    The model learns from train and validation. It is evaluated on test, if test has images of every class that has at
    least two groups; otherwise by nested cross-validation over the groups of all splits. Raises DataError where there
    is too little to learn from.
    """
    return train_selected(_select(rows, settings), settings)


def train_selected(selection: Selection, settings: Settings) -> TrainingResult:
    chosen, rows, coverage = settings.train, selection.rows, selection.coverage
    learning = rows.where("split != 'test'").cache()
    recipe = fit_pipeline(learning, coverage.classes, chosen)
    learning.unpersist()
    if coverage.untested:
        measured = cross_validate_pipeline(rows, coverage.classes, coverage.evaluated, chosen)
    else:
        test = rows.where("split = 'test'")
        measured = evaluate_on_test(recipe, test, coverage.classes, coverage.evaluated)
    leakage = check_leakage(rows, chosen, measured.folds)
    validation = recipe.validation
    return TrainingResult(
        recipe.model,
        list(coverage.classes),
        recipe.parameters,
        recipe.temperature,
        recipe.policy,
        test=measured.predictions.evaluate(chosen.bootstrap_resamples),
        burst_test=measured.aggregate_bursts.evaluate(chosen.bootstrap_resamples),
        validation=validation.evaluate(chosen.bootstrap_resamples) if validation else None,
        reviews=measured.measure_operating_points(recipe.policy, chosen.bootstrap_resamples),
        ece_before=_calibration_error(measured.raw),
        folds=measured.folds,
        caveats=find_caveats(selection, measured, leakage),
        leakage=leakage,
    )


def _select(rows: DataFrame, settings: Settings) -> Selection:
    labels = sorted(row["label"] for row in rows.select("label").distinct().collect())
    if labels:
        wanted = settings.train.classes_of_interest
        require_known_labels("train.classes_of_interest", wanted, labels, "training image is labelled")
    return select_rows(rows, settings.train)


def _calibration_error(answers: PredictionSet) -> float:
    return answers.evaluate(bootstrap=0).metrics["calibration_error"].value or 0.0


def prepare(settings: Settings) -> None:
    """Connect to MLflow: its SQLite store alone takes two seconds to load."""
    Tracking.of(settings)


def run(spark: SparkSession, settings: Settings) -> StageResult:
    """Train on all labelled features of settings.featurize.backbone, and register what comes out."""
    clock, tables, tracking = Stopwatch(), Tables.of(spark, settings), Tracking.of(settings)
    tracking.mark_stale_runs_killed()
    tables.require("features")
    backbone = feature_id(settings)
    rows = training_rows(tables, settings, backbone).cache()
    fingerprint = training_fingerprint(rows, settings, backbone)
    same = [each for each in tracking.versions() if each.tags.get("fingerprint") == fingerprint]
    if judged := settle(tracking, same):
        rows.unpersist()
        return StageResult("train", seconds=clock.seconds, outcome=_again(judged))
    require_sound_labels(tables, rows, settings)
    for unfinished in same:  # of a run that was killed between registering and the gate
        tracking.delete(unfinished)
    require_judge(tables, tracking)
    selection = _select(rows, settings)
    trained = train_selected(selection, settings)
    total = selection.rows.count()
    version, verdict = _record(tables, tracking, settings, selection, trained, backbone, fingerprint)
    rows.unpersist()
    figure = trained.test.metrics["balanced_accuracy"].format()
    outcome = f"{version} {verdict}; {trained.method} balanced accuracy {figure}"
    return StageResult(
        "train",
        total,
        1,
        seconds=clock.seconds,
        notes=(*trained.caveats, *_notes(trained, settings.score)),
        outcome=outcome,
        noop_outcome=_again(version),
        artifacts={"model": version.version},
    )


def _notes(trained: TrainingResult, settings: Score) -> tuple[str, ...]:
    lacking = trained.decision.classes_without_threshold(settings.recall_unit, settings.target_recall)
    if not lacking or len(trained.decision.classes_of_interest) == len(trained.classes):
        return ()  # where every class is of interest, nothing is dismissed anyway
    wanted = round(1 / (1 - settings.target_recall))
    return (
        f"fewer than {wanted} groups of {', '.join(lacking)} were held out, too few for an operating point at recall "
        f"{settings.target_recall:g}: what is taken for it, or unsure, needs review. Label more encounters with it.",
    )


def _again(version: ModelVersion) -> str:
    return f"{version} was trained on the same: nothing to do"


def _classifier(settings: Settings, trained: TrainingResult) -> str:
    """Say what was fitted, on which views of the images."""
    asked = "asked about both views" if trained.decision.average_flip else "asked about the images as they are"
    views = f"; learned from flipped images too, and {asked}" if settings.featurize.horizontal_flip else ""
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
        "split": json.dumps({"fractions": train.fractions, "salt": train.split_salt, "moved": selection.moved}),
        "evaluation": trained.method,
        "metrics": json.dumps({name: found.value for name, found in trained.test.metrics.items()}),
        "decision": trained.decision.to_json(),
        **code_version(),
    }


def _chosen(trained: TrainingResult) -> dict[str, Any]:
    """Return what was chosen in training, and how it was evaluated, as parameters of the run."""
    weight = trained.decision.max_weight
    return {
        **trained.parameters,
        "temperature": trained.temperature,
        "both_views": trained.decision.average_flip,
        "vote.weight_of_maximum": "none" if weight is None else weight,
        "evaluation.method": trained.method,
        "evaluation.caveats": len(trained.caveats),
    }


def _record(
    tables: Tables,
    tracking: Tracking,
    settings: Settings,
    selection: Selection,
    trained: TrainingResult,
    backbone: str,
    fingerprint: str,
) -> tuple[ModelVersion, str]:
    """Log the run, register the version, and let the gate decide on the champion."""
    from pipelines.reports.plots import class_figure, confusion_figure, reliability_figure  # matplotlib: seconds

    rows = selection.rows
    tags = _tags(settings, selection, trained, backbone, fingerprint)
    counts = count_by_split(rows)
    card = model_card(
        settings.tracking.model,
        backbone,
        counts,
        trained.test,
        _classifier(settings, trained),
        burst_test=trained.burst_test,
        reviews=trained.reviews,
        calibration=(trained.ece_before, trained.temperature),
        classes_of_interest=trained.decision.classes_of_interest,
        weights=settings.featurize.weights,
        folds=trained.folds,
        caveats=trained.caveats,
    )
    with tracking.run("train", tags) as run_id:
        tracking.log(
            params={
                **redact(dict(flatten(settings.model_dump(by_alias=True)))),
                **_chosen(trained),
                **{f"table_version.{name}": tables.version(name) for name in ("images", "features")},
                **{f"rows.{split}": split_size(counts, split) for split in SPLITS},
                "rows.left_out": sum(selection.coverage.left_out.values()),
            },
            metrics=trained.mlflow_metrics(),
            texts={EVALUATION: trained.to_json(), "model_card.md": card},
            figures={
                "plots/confusion.png": confusion_figure(trained.test),
                "plots/classes.png": class_figure(trained.test),
                "plots/reliability.png": reliability_figure(trained.test),
            },
        )
        version = tracking.register(trained.model, run_id, tags, card)
        test = rows.where("split = 'test'")
        verdict = apply_gate(tables, tracking, settings.train, test, trained.model, version)
        tracking.tag(version, gate=verdict)
    return version, verdict

"""Train: features with labels become a registered model version, and champion if it beats the champion.

The split is by groups: the test pictures are of encounters that the model has never seen.
"""

from __future__ import annotations

import json
from dataclasses import replace

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.config import flatten, masked
from pipelines.evaluation.answers import Answers, best_views, decide, reviews
from pipelines.evaluation.operating_point import classes_of_interest
from pipelines.evaluation.split import SPLITS, count_pictures, pictures_in
from pipelines.evaluation.sufficiency import require_enough
from pipelines.evaluation.vote import MAXIMUM, MEAN
from pipelines.label_text import require_known_labels
from pipelines.models.backbones import identity_of
from pipelines.models.classifiers import calibrated
from pipelines.models.learners import describe
from pipelines.platform.provenance import code_version
from pipelines.platform.tracking import EVALUATION, ModelVersion, Tracking
from pipelines.reports.card import model_card
from pipelines.settings import Score, Settings
from pipelines.stages.asking import ask
from pipelines.stages.gate import pass_gate
from pipelines.stages.learning import (
    cross_validated,
    fingerprint_of,
    groups_of,
    held_out,
    require_sound_labels,
    training_rows,
)
from pipelines.stages.result import Clock, StageResult
from pipelines.stages.trained import Trained
from pipelines.storage.tables import Tables

VOTES = {"auto": None, "mean": MEAN, "max": MAXIMUM}


def train(rows: DataFrame, settings: Settings) -> Trained:
    """Fit a classifier on rows of content_hash, features, label, burst_id, group_id, split, and measure it on test.

    On answers about groups that the model asked has not seen (`train.folds`) are chosen: the parameters with the lowest
    log-loss, whether mirror images are asked about too (where there are features of them), the temperature, the vote
    of a burst and the operating points. Raises DataError where there is too little to learn from.
    """
    require_enough(groups_of(rows))
    chosen = settings.train
    classes = sorted(row["label"] for row in rows.where("split = 'train'").select("label").distinct().collect())
    require_known_labels(
        "train.classes_of_interest", chosen.classes_of_interest, classes, "training picture is labelled"
    )
    learning = rows.where("split != 'test'").where(F.col("label").isin(classes)).cache()
    folds = min(chosen.folds, learning.select("group_id").distinct().count())
    if folds > 1:
        fitted, said = cross_validated(learning, classes, chosen, folds)
    else:
        fitted, said = held_out(learning, classes, chosen)
    learning.unpersist()
    both, temperature, validation = best_views(said) if said else (False, 1.0, None)
    model = calibrated(fitted.model, temperature)
    interesting = classes_of_interest(classes, chosen.classes_of_interest)
    decision = replace(decide(validation, interesting, VOTES[chosen.vote]), both_views=both)
    views = ask(model, rows.where("split = 'test'"), classes)
    assert views is not None  # require_enough has counted
    test, raw = views.of_views(both), views.tempered(1 / temperature).of_views(both)
    return Trained(
        model,
        classes,
        fitted.parameters,
        temperature,
        decision,
        test=test.evaluate(chosen.bootstrap),
        voted=test.voted(decision.weight).evaluate(chosen.bootstrap),
        validation=validation.evaluate(chosen.bootstrap) if validation else None,
        reviews=reviews(test, decision, chosen.bootstrap),
        uncalibrated=_calibration_error(raw),
    )


def _calibration_error(answers: Answers) -> float:
    return answers.evaluate(bootstrap=0).metrics["calibration_error"].value or 0.0


def prepare(settings: Settings) -> None:
    """Connect to MLflow: its SQLite store alone takes two seconds to load."""
    Tracking.of(settings)


def run(spark: SparkSession, settings: Settings) -> StageResult:
    """Train on all labelled features of settings.featurize.backbone, and register what comes out."""
    clock, tables, tracking = Clock(), Tables.of(spark, settings), Tracking.of(settings)
    tracking.close_abandoned()
    tables.require("features")
    backbone = identity_of(settings)
    rows = training_rows(tables, settings, backbone).cache()
    fingerprint = fingerprint_of(rows, settings, backbone)
    same = [each for each in tracking.versions() if each.tags.get("fingerprint") == fingerprint]
    if same and same[0].tags.get("gate"):
        rows.unpersist()
        return StageResult("train", seconds=clock.seconds, outcome=_again(same[0]))
    require_sound_labels(tables, rows, settings)
    for unfinished in same:  # a run that was killed between registering and the gate
        tracking.delete(unfinished)
    trained = train(rows, settings)
    total = rows.count()
    version, verdict = _record(tables, tracking, settings, rows, trained, backbone, fingerprint)
    rows.unpersist()
    figure = trained.test.metrics["balanced_accuracy"].text()
    outcome = f"{version} {verdict}; test balanced accuracy {figure}"
    return StageResult(
        "train",
        total,
        1,
        seconds=clock.seconds,
        notes=_notes(trained, settings.score),
        outcome=outcome,
        again=_again(version),
        made={"model": version.version},
    )


def _notes(trained: Trained, settings: Score) -> tuple[str, ...]:
    lacking = trained.decision.lacking(settings.recall_of, settings.recall)
    if not lacking or len(trained.decision.interesting) == len(trained.classes):
        return ()  # where every class is of interest, nothing is dismissed anyway
    wanted = round(1 / (1 - settings.recall))
    return (
        f"fewer than {wanted} groups of {', '.join(lacking)} were held out, too few for an operating point at recall "
        f"{settings.recall:g}: what is taken for it, or unsure, needs review. Label more encounters with it.",
    )


def _again(version: ModelVersion) -> str:
    return f"{version} was trained on the same: nothing to do"


def _classifier(settings: Settings, trained: Trained) -> str:
    """Say what was fitted, on which views of the pictures."""
    asked = "asked about both views" if trained.decision.both_views else "asked about the pictures as they are"
    views = f"; learned from mirrored pictures too, and {asked}" if settings.featurize.mirror else ""
    return describe(settings.train, trained.parameters) + views


def _record(
    tables: Tables,
    tracking: Tracking,
    settings: Settings,
    rows: DataFrame,
    trained: Trained,
    backbone: str,
    fingerprint: str,
) -> tuple[ModelVersion, str]:
    """Log the run, register the version, and let the gate decide on the champion."""
    from pipelines.reports.plots import class_figure, confusion_figure, reliability_figure  # matplotlib: seconds

    metrics = {name: found.value for name, found in trained.test.metrics.items()}
    tags = {
        "backbone": backbone,
        "learner": settings.train.learner,
        "classes": json.dumps(trained.classes),
        "fingerprint": fingerprint,
        "split": json.dumps({"fractions": settings.train.fractions, "salt": settings.train.split_salt}),
        "metrics": json.dumps(metrics),
        "decision": trained.decision.to_json(),
        **code_version(),
    }
    counts = count_pictures(rows)
    card = model_card(
        settings.tracking.model,
        backbone,
        counts,
        trained.test,
        _classifier(settings, trained),
        voted=trained.voted,
        reviews=trained.reviews,
        calibration=(trained.uncalibrated, trained.temperature),
        interesting=trained.decision.interesting,
        weights=settings.featurize.weights,
    )
    with tracking.run("train", tags) as run_id:
        tracking.log(
            params={
                **{key: masked(value) for key, value in flatten(settings.model_dump(by_alias=True))},
                **trained.parameters,
                "temperature": trained.temperature,
                "both_views": trained.decision.both_views,
                "vote.weight_of_maximum": trained.decision.weight,
                **{f"table_version.{name}": tables.version(name) for name in ("images", "features")},
                **{f"rows.{split}": pictures_in(counts, split) for split in SPLITS},
            },
            metrics=trained.figures(),
            texts={EVALUATION: trained.to_json(), "model_card.md": card},
            figures={
                "plots/confusion.png": confusion_figure(trained.test),
                "plots/classes.png": class_figure(trained.test),
                "plots/reliability.png": reliability_figure(trained.test),
            },
        )
        version = tracking.register(trained.model, run_id, tags, card)
        verdict = pass_gate(tables, tracking, settings.train, rows.where("split = 'test'"), trained.model, version)
        tracking.tag(version, gate=verdict)
    return version, verdict

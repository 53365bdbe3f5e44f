"""Train: features with labels become a registered model version, and champion if it is not worse.

The split is by groups: the test pictures are of encounters that the model has never seen.
"""

from __future__ import annotations

import json

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.config import flatten, masked
from pipelines.errors import DataError
from pipelines.evaluation.answers import Answers, decide, reviews, temperature_of
from pipelines.evaluation.operating_point import classes_of_interest
from pipelines.evaluation.split import SPLITS, labelled_pictures, split_of
from pipelines.evaluation.sufficiency import require_enough
from pipelines.evaluation.vote import MAXIMUM, MEAN
from pipelines.models.backbones import identity_of
from pipelines.models.classifiers import calibrated, log_loss, train_classifiers
from pipelines.platform.provenance import code_version
from pipelines.platform.session import task_slots
from pipelines.platform.tracking import EVALUATION, ModelVersion, Tracking
from pipelines.reports.card import model_card
from pipelines.settings import Score, Settings, Train
from pipelines.stages.asking import ask
from pipelines.stages.gate import pass_gate
from pipelines.stages.result import Clock, StageResult
from pipelines.stages.trained import Trained
from pipelines.storage.features import features_of
from pipelines.storage.tables import Tables

VOTES = {"auto": None, "mean": MEAN, "max": MAXIMUM}


def train(rows: DataFrame, settings: Settings) -> Trained:
    """Fit a classifier on rows of content_hash, features, label, burst_id, group_id, split, and measure it on test.

    Chosen on validation, whose groups the classifier has not seen: the penalty with the lowest log-loss (the first
    where there is no validation), the temperature, the vote of a burst and the operating points. Raises DataError
    where there is too little to learn from.
    """
    require_enough(_groups(rows))
    chosen = settings.train
    learning = rows.where("split = 'train'").coalesce(task_slots(settings.spark.master)).cache()
    classes = sorted(row["label"] for row in learning.select("label").distinct().collect())
    _require_known(chosen.classes_of_interest, classes)
    held = rows.where("split = 'validation'").where(F.col("label").isin(classes)).cache()
    reg_param, raw = _best(learning, held, classes, chosen)
    said = ask(raw, held, classes)
    temperature = temperature_of(said)
    model = calibrated(raw, temperature)
    validation = said.tempered(temperature) if said else None
    decision = decide(validation, classes_of_interest(classes, chosen.classes_of_interest), VOTES[chosen.vote])
    test = ask(model, rows.where("split = 'test'"), classes)
    assert test is not None  # require_enough has counted
    learning.unpersist(), held.unpersist()
    return Trained(
        model,
        classes,
        reg_param,
        temperature,
        decision,
        test=test.evaluate(chosen.bootstrap),
        voted=test.voted(decision.weight).evaluate(chosen.bootstrap),
        validation=validation.evaluate(chosen.bootstrap) if validation else None,
        reviews=reviews(test, decision, chosen.bootstrap),
        uncalibrated=_calibration_error(test.tempered(1 / temperature)),
    )


def _best(learning: DataFrame, held: DataFrame, classes: list[str], settings: Train) -> tuple[float, PipelineModel]:
    """Give the penalty, and its model, with the lowest log-loss on what is held back; the first if nothing is."""
    has_validation = bool(held.head(1))
    best: tuple[float, float, PipelineModel] | None = None
    tried = settings.reg_params if has_validation else settings.reg_params[:1]
    for reg_param, model in train_classifiers(learning, classes, settings, tried):
        loss = log_loss(model, held, classes) if has_validation else 0.0
        if best is None or loss < best[0]:
            best = loss, reg_param, model
    assert best is not None
    return best[1:]


def _require_known(wanted: list[str], classes: list[str]) -> None:
    if unknown := sorted(set(wanted) - set(classes)):
        raise DataError(
            f"train.classes_of_interest names {', '.join(unknown)}, which no training picture is labelled. "
            f"The labels are {', '.join(classes)}."
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
    fingerprint = _fingerprint(rows, settings, backbone)
    same = [each for each in tracking.versions() if each.tags.get("fingerprint") == fingerprint]
    if same and same[0].tags.get("gate"):
        rows.unpersist()
        return StageResult("train", seconds=clock.seconds, outcome=_again(same[0]))
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
    )


def _notes(trained: Trained, settings: Score) -> tuple[str, ...]:
    lacking = trained.decision.lacking(settings.recall_of, settings.recall)
    if not lacking or len(trained.decision.interesting) == len(trained.classes):
        return ()  # where every class is of interest, nothing is dismissed anyway
    wanted = round(1 / (1 - settings.recall))
    return (
        f"validation has fewer than {wanted} groups of {', '.join(lacking)}, too few for an operating point at recall "
        f"{settings.recall:g}: what is taken for it, or unsure, needs review. Label more encounters with it.",
    )


def _again(version: ModelVersion) -> str:
    return f"{version} was trained on the same: nothing to do"


def training_rows(tables: Tables, settings: Settings, backbone: str) -> DataFrame:
    """Give content_hash, features, label, burst_id, group_id, split of every picture that may be learned from."""
    chosen = settings.train
    pictures = labelled_pictures(tables.current_images(), chosen.exclude_labels)
    features = features_of(tables, backbone).where("failure is null")
    rows = pictures.join(features.select("content_hash", "features"), "content_hash")
    return rows.withColumn("split", split_of(F.col("group_id"), chosen.fractions, chosen.split_salt))


def _groups(rows: DataFrame) -> dict[str, dict[str, int]]:
    counted = rows.groupBy("label", "split").agg(F.countDistinct("group_id").alias("groups")).collect()
    found: dict[str, dict[str, int]] = {}
    for row in counted:
        found.setdefault(row["label"], {})[row["split"]] = row["groups"]
    return found


def _fingerprint(rows: DataFrame, settings: Settings, backbone: str) -> str:
    """Give a text that is the same for the same pictures, labels, bursts, groups, backbone and settings."""
    digest = F.xxhash64("content_hash", "label", "burst_id", "group_id", "split").cast("decimal(38,0)")
    count, total = rows.agg(F.count("*"), F.sum(digest)).first()
    return f"{count}/{total}/{backbone}/{json.dumps(settings.train.model_dump(), sort_keys=True)}"


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
        "classes": json.dumps(trained.classes),
        "fingerprint": fingerprint,
        "metrics": json.dumps(metrics),
        "decision": trained.decision.to_json(),
        **code_version(),
    }
    counts = {row["split"]: row["count"] for row in rows.groupBy("split").count().collect()}
    card = model_card(
        settings.tracking.model,
        backbone,
        counts,
        trained.test,
        trained.reg_param,
        voted=trained.voted,
        reviews=trained.reviews,
        calibration=(trained.uncalibrated, trained.temperature),
    )
    with tracking.run("train", tags) as run_id:
        tracking.log(
            params={
                **{key: masked(value) for key, value in flatten(settings.model_dump(by_alias=True))},
                "reg_param": trained.reg_param,
                "temperature": trained.temperature,
                "vote.weight_of_maximum": trained.decision.weight,
                **{f"table_version.{name}": tables.version(name) for name in ("images", "features")},
                **{f"rows.{split}": counts.get(split, 0) for split in SPLITS},
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

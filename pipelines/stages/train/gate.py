"""The gate: a new version becomes champion only if it beats the champion on the same test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from pyspark.sql import functions as F

from pipelines.classifiers.classifier import CalibratedClassifier
from pipelines.classifiers.predict import load_model, predict_labelled
from pipelines.classifiers.training_set import VIEWS, TrainingSet
from pipelines.config.settings import Train
from pipelines.errors import ModelError
from pipelines.evaluation.inputs import format_list
from pipelines.evaluation.paired_bootstrap import PairedComparison, paired_bootstrap
from pipelines.evaluation.predictions import PredictionSet
from pipelines.evaluation.review_policy import ReviewPolicy
from pipelines.evaluation.split import find_split
from pipelines.feature_ids import featurize_options
from pipelines.tracking.mlflow_client import CHALLENGER, ModelVersion, Tracking
from pipelines.tracking.promotion import promotion_history, set_champion
from pipelines.workspace.features import read_features
from pipelines.workspace.tables import Tables

MIN_WIN_RATE = 0.95  # fraction of the resamples in which it must be better: a one-sided test at 5 %
MIN_RESAMPLES = 1000  # even if the settings ask for fewer: the choice of the champion depends on them


@dataclass(frozen=True)
class GateDecision:
    """Whether a version may become champion, the reason, and the metrics by their names in MLflow."""

    is_better: bool
    reason: str
    metrics: dict[str, float | None] = field(default_factory=dict)


def apply_gate(
    tables: Tables,
    tracking: Tracking,
    settings: Train,
    test: TrainingSet,
    model: CalibratedClassifier,
    version: ModelVersion,
) -> str:
    """Make `version` champion if it beats the current one, else challenger; return the decision as text.

    The decision is logged to the open run.
    """
    champion = tracking.champion()
    if champion is None:
        decision = GateDecision(True, "the first version")
    else:
        decision = _compare_on_test(test, tables, tracking, settings, model, version, champion)
    if decision.is_better:
        if tracking.challenger():
            tracking.delete_alias(CHALLENGER)  # the older challenger did not beat the champion that this version beats
        set_champion(tracking, version, decision.reason)
        text = f"is champion: {decision.reason}"
    else:
        tracking.set_alias(version, CHALLENGER)
        text = f"is challenger, {champion} stays champion: {decision.reason}"
    tracking.log(metrics=decision.metrics, tags={"gate": text})
    return text


def find_gated_version(tracking: Tracking, versions: Sequence[ModelVersion]) -> ModelVersion | None:
    """Return the first of these versions, newest first, that has passed through the gate; None without one.

    A run may have been killed after it set the champion and before it wrote the decision, which is then written here.
    """
    champion = tracking.champion()
    for version in versions:
        if version.tags.get("gate"):
            return version
        if champion and version.version == champion.version:
            tracking.tag(version, gate=f"is champion: {promotion_history(version)[-1].reason}")
            return version
    return None


def require_comparable_champion(tables: Tables, tracking: Tracking) -> None:
    """Raise ModelError if there was a champion that a new version can no longer be compared with.

    Called before the fit. Otherwise the next version would become champion as if it were the first.
    """
    name, champion = tracking.model, tracking.champion()
    if champion:
        return tracking.verify(champion)
    former = [version for version in tracking.versions() if promotion_history(version)]
    if former:
        raise ModelError(
            f"Model {name} has no champion any more; former champions: {format_list(list(map(str, former)))}. "
            f"Promote one: `irbis promote {former[0].version} --reason ...`."
        )
    if tables.read("predictions").where(F.col("model_name") == name).head(1):
        raise ModelError(
            f"Table predictions was written with model {name}, but MLflow's database has no champion of it: the "
            "database is another one, or was lost. Restore a copy of it, set tracking.uri to the earlier database, or "
            "train under another name: --set tracking.model=NAME."
        )


def compare_with_champion(
    ours: PredictionSet, theirs: PredictionSet, classes_of_interest: Sequence[str], settings: Train, champion: str
) -> GateDecision:
    """Decide by the single-image predictions whether ours beat the champion's, theirs, on the same images.

    The metric must be higher, and higher in MIN_WIN_RATE of the resamples of the groups; no class of interest may have
    a lower recall. A class that a model was not trained on has the recall 0.
    """
    name = settings.gate_metric.replace("_", " ")
    comparison = paired_bootstrap(
        ours, theirs, settings.gate_metric, bootstrap=max(MIN_RESAMPLES, settings.bootstrap_resamples)
    )
    faults = []
    if not comparison.is_higher:
        faults.append(f"{name} is not higher")
    elif comparison.win_rate < MIN_WIN_RATE:
        faults.append(f"{name} may be higher by chance")
    for label in classes_of_interest:
        mine, other = comparison.recalls.get(label, (0.0, 0.0))
        if mine < other:
            faults.append(f"recall of {label} is lower, {mine:.3f} instead of {other:.3f}")
    metrics = {
        "gate.difference": comparison.difference.value,
        "gate.difference.low": comparison.difference.low,
        "gate.difference.high": comparison.difference.high,
        "gate.win_rate": comparison.win_rate,
    }
    text = _describe(comparison, name, champion)
    return GateDecision(not faults, f"{', and '.join(faults)}; {text}" if faults else text, metrics)


def _describe(comparison: PairedComparison, name: str, champion: str) -> str:
    difference = comparison.difference
    interval = "" if difference.low is None else f" ({difference.low:+.3f} to {difference.high:+.3f})"
    return (
        f"{name} {comparison.candidate:.3f}, {champion} {comparison.champion:.3f} on the same "
        f"{comparison.images:,} test images of {comparison.groups:,} groups; "
        f"difference {difference.value:+.3f}{interval}, above 0 in {100 * comparison.win_rate:.1f} % of resamples"
    )


def _compare_on_test(
    test: TrainingSet,
    tables: Tables,
    tracking: Tracking,
    settings: Train,
    model: CalibratedClassifier,
    version: ModelVersion,
    champion: ModelVersion,
) -> GateDecision:
    """Compare both on the test images that are new to the champion too, and that have features of its backbone."""
    if champion.learned_groups:
        test = test.where(~test.images["group_id"].isin(champion.learned_groups).to_numpy())
    if not len(test):
        return GateDecision(
            False,
            "no test image is new to both, so they cannot be compared; label more encounters, or decide yourself: "
            f"`irbis promote {version.version} --reason ...`",
        )
    if split := champion.split:  # by its own split it may have been trained on images that are in test now
        sides = [find_split(group, split["fractions"], split["salt"]) for group in test.column("group_id")]
        test = test.where(np.array(sides) == "test")
    backbone = champion.tags["backbone"]
    old_policy, new_policy = (ReviewPolicy.from_json(each.tags.get("review_policy")) for each in (champion, version))
    flipped = " --set featurize.horizontal_flip=true" if old_policy.average_flip else ""
    features = read_features(tables, backbone, flipped=old_policy.average_flip)
    views = [view for view in features.columns if view in VIEWS]
    features = features.where(" and ".join(f"{view} is not null" for view in views)).select("content_hash", *views)
    theirs = test.to_dataframe().drop(*VIEWS).join(features, "content_hash")
    known = {row["content_hash"] for row in theirs.select("content_hash").collect()}
    classes = sorted({*champion.classes, *version.classes})
    old = predict_labelled(load_model(tracking, champion), theirs, champion.classes) if known else None
    if old is None and split and not len(test):
        fractions = ",".join(f"{fraction:g}" for fraction in split["fractions"])
        return GateDecision(
            False,
            f"{champion} was trained with another split, on all of these test images; set train.split_salt to "
            f"{split['salt']} and train.fractions to {fractions} as before, and train again",
        )
    if old is None:
        return GateDecision(
            False,
            f"{champion} has no features of the test images; run "
            f"`irbis featurize {featurize_options(backbone)}{flipped}`, then train again",
        )
    new = model.predict(test.where(test.images["content_hash"].isin(known).to_numpy()), version.classes)
    assert new is not None  # the same images
    new = new.average_views(new_policy.average_flip).with_classes(classes)
    old = old.average_views(old_policy.average_flip).with_classes(classes)
    decision = compare_with_champion(new, old, new_policy.classes_of_interest, settings, str(champion))
    if missing := sorted(set(version.classes) - set(new.labels)):
        reason = f"{decision.reason}; not compared, for lack of test images: {format_list(missing)}"
        return replace(decision, reason=reason)
    return decision

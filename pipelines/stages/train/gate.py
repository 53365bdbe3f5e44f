"""The gate: the alias `champion` moves to a new version only if it beats the champion on the same test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.classifiers.predict import FEATURE_COLUMNS, load_model, predict_labelled
from pipelines.config.settings import Train
from pipelines.errors import ModelError
from pipelines.evaluation.inputs import format_list
from pipelines.evaluation.paired_bootstrap import PairedComparison, paired_bootstrap
from pipelines.evaluation.predictions import PredictionSet
from pipelines.evaluation.review_policy import ReviewPolicy
from pipelines.evaluation.split import assign_split
from pipelines.schemas import backbone_names
from pipelines.tracking.mlflow_client import CHALLENGER, ModelVersion, Tracking
from pipelines.tracking.promotion import promotion_history, set_champion
from pipelines.workspace.features import read_features
from pipelines.workspace.tables import Tables

MIN_WIN_RATE = 0.95  # share of the resamples in which it must be better: a one-sided test at 5 %
MIN_RESAMPLES = 1000  # at least, however few the settings want behind the intervals: a model hangs on them


@dataclass(frozen=True)
class GateDecision:
    """Hold whether a version may become champion, why, and the figures that say so by their names in MLflow."""

    is_better: bool
    why: str
    figures: dict[str, float | None] = field(default_factory=dict)


def apply_gate(
    tables: Tables,
    tracking: Tracking,
    settings: Train,
    test: DataFrame,
    model: PipelineModel,
    version: ModelVersion,
) -> str:
    """Make `version` champion if it beats the one there is, else challenger; give the verdict, which the run keeps too.

    `test` has content_hash, features, label, burst_id, group_id. Needs an open run.
    """
    champion = tracking.champion()
    if champion is None:
        verdict = GateDecision(True, "the first version")
    else:
        verdict = _judge_on(test, tables, tracking, settings, model, version, champion)
    if verdict.is_better:
        if tracking.challenger():
            tracking.delete_alias(CHALLENGER)  # an older one did not beat what this one beats
        set_champion(tracking, version, verdict.why)
        text = f"is champion: {verdict.why}"
    else:
        tracking.set_alias(version, CHALLENGER)
        text = f"is challenger, {champion} stays champion: {verdict.why}"
    tracking.log(metrics=verdict.figures, tags={"gate": text})
    return text


def settle(tracking: Tracking, same: Sequence[ModelVersion]) -> ModelVersion | None:
    """Return which of these versions, the newest first, is judged; None where no run came that far.

    A run may have been killed after it made its version champion and before it wrote the verdict: it is written now.
    """
    champion = tracking.champion()
    for version in same:
        if version.tags.get("gate"):
            return version
        if champion and version.version == champion.version:
            tracking.tag(version, gate=f"is champion: {promotion_history(version)[-1].reason}")
            return version
    return None


def require_judge(tables: Tables, tracking: Tracking) -> None:
    """Raise ModelError if there was a champion that a new version could not be compared with any more.

    Asked before anything is fitted. Without this, the next version would be champion as if it were the first.
    """
    name, champion = tracking.model, tracking.champion()
    if champion:
        return tracking.verify(champion)
    before = [version for version in tracking.versions() if promotion_history(version)]
    if before:
        raise ModelError(
            f"No version of {name} is champion any more, and {format_list([str(each) for each in before])} was. Choose one: "
            f"`irbis promote {before[0].version} --reason ...`."
        )
    if tables.read("predictions").where(F.col("model_name") == name).head(1):
        raise ModelError(
            f"Table predictions was made by model {name}, of which MLflow's database holds no champion: it is another "
            "database, or it was lost. Put back a copy of it, or set tracking.uri as it was then; or train under "
            "another name: --set tracking.model=NAME."
        )


def compare_with_champion(
    ours: PredictionSet, theirs: PredictionSet, interesting: Sequence[str], settings: Train, champion: str
) -> GateDecision:
    """Judge by single images' most probable class whether ours beat the champion's, theirs, on the same images.

    Ours must be higher in the metric, must be so in SURELY of the resamples of the groups, and must find no less of
    any class of interest. A class that one was never taught it finds nothing of.
    """
    name = settings.gate_metric.replace("_", " ")
    found = paired_bootstrap(
        ours, theirs, settings.gate_metric, bootstrap=max(MIN_RESAMPLES, settings.bootstrap_resamples)
    )
    faults = []
    if not found.is_higher:
        faults.append(f"{name} is not higher")
    elif found.win_rate < MIN_WIN_RATE:
        faults.append(f"{name} may be higher by chance")
    for label in interesting:
        mine, other = found.recalls.get(label, (0.0, 0.0))
        if mine < other:
            faults.append(f"recall of {label} is lower, {mine:.3f} instead of {other:.3f}")
    figures = {
        "gate.difference": found.difference.value,
        "gate.difference.low": found.difference.low,
        "gate.difference.high": found.difference.high,
        "gate.share_better": found.win_rate,
    }
    comparison = _in_words(found, name, champion)
    return GateDecision(not faults, f"{', and '.join(faults)}; {comparison}" if faults else comparison, figures)


def _in_words(found: PairedComparison, name: str, champion: str) -> str:
    difference = found.difference
    interval = "" if difference.low is None else f" ({difference.low:+.3f} to {difference.high:+.3f})"
    return (
        f"{name} {found.candidate:.3f}, {champion} {found.champion:.3f} on the same {found.images:,} test images of "
        f"{found.groups:,} groups; difference {difference.value:+.3f}{interval}, above 0 in "
        f"{100 * found.win_rate:.1f} % of resamples"
    )


def _judge_on(
    test: DataFrame,
    tables: Tables,
    tracking: Tracking,
    settings: Train,
    model: PipelineModel,
    version: ModelVersion,
    champion: ModelVersion,
) -> GateDecision:
    """Ask both about the same test images: those new to the champion too, of which its backbone has features."""
    if champion.learned_groups:
        test = test.where(~F.col("group_id").isin(champion.learned_groups))
    if not test.head(1):
        return GateDecision(
            False,
            "the test split has no images that neither has learned from, so they cannot be compared; label more "
            f"encounters, or choose by hand: `irbis promote {version.version} --reason ...`",
        )
    if split := champion.split:  # of its own, by which it may have learned from what is of test now
        test = test.where(assign_split(F.col("group_id"), split["fractions"], split["salt"]) == "test")
    backbone = champion.tags["backbone"]
    before, now = (ReviewPolicy.from_json(each.tags.get("decision")) for each in (champion, version))
    flipped = " --set featurize.horizontal_flip=true" if before.average_flip else ""
    held = read_features(tables, backbone, flipped=before.average_flip)
    held = held.where(" and ".join(f"{view} is not null" for view in held.columns if view in FEATURE_COLUMNS))
    theirs = test.drop(*FEATURE_COLUMNS).join(held.drop("failure", "failure_detail", "featurized_at"), "content_hash")
    ours = test.join(held.select("content_hash"), "content_hash", "left_semi")
    classes = sorted({*champion.classes, *version.classes})
    old = predict_labelled(load_model(tracking, champion), theirs, champion.classes, among=classes)
    if old is None and split and not test.head(1):
        fractions = ",".join(f"{each:g}" for each in split["fractions"])
        return GateDecision(
            False,
            f"{champion} was trained with another split, and has learned from all these test images; set train."
            f"split_salt to {split['salt']} and train.fractions to {fractions} as they were then, and train again",
        )
    if old is None:
        return GateDecision(
            False,
            f"{champion} has no features of the test images to be compared on; run "
            f"`irbis featurize --backbone {backbone_names(backbone)}{flipped}`, then train again",
        )
    new = predict_labelled(model, ours, version.classes, among=classes)
    assert new is not None  # the same images
    ours_said, theirs_said = new.average_views(now.average_flip), old.average_views(before.average_flip)
    verdict = compare_with_champion(ours_said, theirs_said, now.classes_of_interest, settings, str(champion))
    if missing := sorted(set(version.classes) - set(ours_said.labels)):
        why = f"{verdict.why}; not compared, for lack of test images: {format_list(missing)}"
        return replace(verdict, why=why)
    return verdict

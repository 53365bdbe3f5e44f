"""The gate: the alias `champion` moves to a new version only if it is not worse on the same test pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.evaluation.metrics import Evaluation, evaluate
from pipelines.models.classifiers import probabilities
from pipelines.platform.tracking import ModelVersion, Tracking
from pipelines.settings import Train
from pipelines.storage.tables import Tables

COMPARED_RESAMPLES = 0  # the gate looks at the figure, not at its interval


def pass_gate(
    tables: Tables,
    tracking: Tracking,
    settings: Train,
    test: DataFrame,
    model: PipelineModel,
    version: ModelVersion,
) -> str:
    """Move the alias to `version` unless the champion is better in settings.gate_metric; give the verdict.

    `test` has content_hash, features, label, group_id. Both are asked about the same pictures: those of which the
    champion's backbone has features too. A label that one of them was never taught counts against it.
    """
    champion = tracking.champion()
    if champion is None:
        tracking.crown(version)
        return "is champion: the first version"
    backbone = champion.tags["backbone"]
    held = tables.read("features").where((F.col("backbone") == backbone) & F.col("features").isNotNull())
    theirs = test.drop("features").join(held.select("content_hash", "features"), "content_hash")
    ours = test.join(held.select("content_hash"), "content_hash", "left_semi")
    classes = sorted({*champion.classes, *version.classes})
    old = measure(tracking.load(champion), theirs, champion.classes, COMPARED_RESAMPLES, among=classes)
    if old is None:
        name = backbone.partition("@")[0]
        return (
            f"is not champion: {champion} has no features of the test pictures to be compared on; "
            f"run `irbis featurize --backbone {name}`, then train again"
        )
    new = measure(model, ours, version.classes, COMPARED_RESAMPLES, among=classes)
    assert new is not None  # the same pictures
    metric = settings.gate_metric
    mine, other = (each.metrics[metric].value or 0.0 for each in (new, old))
    comparison = f"{metric.replace('_', ' ')} {mine:.3f}, {champion} {other:.3f} on the same {old.rows:,} test pictures"
    if mine < other:
        return f"is not champion: {comparison}"
    tracking.crown(version)
    return f"is champion: {comparison}"


def measure(
    model: PipelineModel,
    rows: DataFrame,
    classes: Sequence[str],
    bootstrap: int,
    *,
    among: Sequence[str] | None = None,
) -> Evaluation | None:
    """Evaluate on rows with features, label and group_id whose label is in `among`; None where there are none.

    `classes` are the model's own, in its order; `among` (the same, if not given) may hold more: to those the model
    gives the probability 0.
    """
    among = list(among or classes)
    known = rows.where(F.col("label").isin(among)).select("features", "label", "group_id")
    found = probabilities(model, known).select("label", "group_id", "probability").toPandas()
    if found.empty:
        return None
    spread = np.zeros((len(found), len(among)))
    spread[:, [among.index(name) for name in classes]] = np.stack(found["probability"])
    return evaluate(found["label"].tolist(), spread, among, found["group_id"].tolist(), bootstrap=bootstrap)

"""The gate: the alias `champion` moves to a new version only if it is not worse on the same test pictures."""

from __future__ import annotations

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame

from pipelines.platform.crowning import crown
from pipelines.platform.tracking import ModelVersion, Tracking
from pipelines.schemas import names_of
from pipelines.settings import Train
from pipelines.stages.asking import ask
from pipelines.storage.features import features_of
from pipelines.storage.tables import Tables


def pass_gate(
    tables: Tables,
    tracking: Tracking,
    settings: Train,
    test: DataFrame,
    model: PipelineModel,
    version: ModelVersion,
) -> str:
    """Move the alias to `version` unless the champion is better in settings.gate_metric; give the verdict.

    `test` has content_hash, features, label, burst_id, group_id. Both are asked about the same pictures: those of which
    the champion's backbone has features too. A label that one of them was never taught counts against it.
    """
    champion = tracking.champion()
    if champion is None:
        crown(tracking, version, "the first version")
        return "is champion: the first version"
    backbone = champion.tags["backbone"]
    held = features_of(tables, backbone).where("features is not null")
    theirs = test.drop("features").join(held.select("content_hash", "features"), "content_hash")
    ours = test.join(held.select("content_hash"), "content_hash", "left_semi")
    classes = sorted({*champion.classes, *version.classes})
    old = ask(tracking.load(champion), theirs, champion.classes, among=classes)
    if old is None:
        return (
            f"is not champion: {champion} has no features of the test pictures to be compared on; "
            f"run `irbis featurize --backbone {names_of(backbone)}`, then train again"
        )
    new = ask(model, ours, version.classes, among=classes)
    assert new is not None  # the same pictures
    metric = settings.gate_metric
    # The gate looks at the figure, not at its interval.
    mine, other = (each.evaluate(bootstrap=0).metrics[metric].value or 0.0 for each in (new, old))
    pictures = f"{len(old.labels):,} test pictures"
    comparison = f"{metric.replace('_', ' ')} {mine:.3f}, {champion} {other:.3f} on the same {pictures}"
    if mine < other:
        return f"is not champion: {comparison}"
    crown(tracking, version, comparison)
    return f"is champion: {comparison}"

"""Report: what the tables and the champion say, as one HTML file in the workspace."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from pyspark.sql import SparkSession

from pipelines import __version__
from pipelines.evaluation.figures import Evaluation
from pipelines.evaluation.operating_point import Review
from pipelines.platform.crowning import crownings
from pipelines.platform.tracking import EVALUATION, ModelVersion, Tracking
from pipelines.reports.contents import ModelFacts, ReportContents
from pipelines.reports.gather import Gathered, gather
from pipelines.reports.mark import PAGE, bears, mark_of
from pipelines.reports.render import render
from pipelines.settings import Settings
from pipelines.stages.result import Clock, StageResult
from pipelines.storage.files import address_of, read_text, write_text
from pipelines.storage.tables import Tables

NOTED = ("reg_param", "rows.train", "rows.validation", "rows.test", "train.class_weights")


def report(gathered: Gathered, model: ModelFacts | None, evaluations: dict[str, Any], settings: Settings) -> str:
    """Give the page."""
    contents = ReportContents(
        title=settings.report.title,
        created_at=datetime.now(timezone.utc),
        workspace=settings.workspace,
        version=__version__,
        model=model,
        evaluation=_evaluation(evaluations.get("test")),
        validation=_evaluation(evaluations.get("validation")),
        voted=_evaluation(evaluations.get("voted")),
        classes_of_interest=tuple(settings.train.classes_of_interest),
        reviews=tuple(map(Review.from_dict, evaluations.get("reviews", []))),
        **gathered.parts,
    )
    return render(contents)


def prepare(settings: Settings) -> None:
    """Connect to MLflow."""
    Tracking.of(settings)


def run(spark: SparkSession, settings: Settings) -> StageResult:
    """Write WORKSPACE/reports/report.html, unless it says already what there is to say."""
    clock, tables, tracking = Clock(), Tables.of(spark, settings), Tracking.of(settings)
    tables.require("images")
    version = tracking.champion()
    mark = mark_of(tables, settings, version.run_id if version else None)
    if bears(read_text(tables, PAGE), mark):
        return StageResult("report", seconds=clock.seconds, outcome=_again(address_of(tables, PAGE)))
    gathered = gather(tables, settings, version)
    evaluations = tracking.read_json(version, EVALUATION) if version else {}
    model = _model(tracking, version) if version else None
    address = write_text(tables, PAGE, report(gathered, model, evaluations, settings) + mark)
    made = {"report": PAGE}
    return StageResult(
        "report", gathered.files, 1, seconds=clock.seconds, outcome=address, again=_again(address), made=made
    )


def _again(address: str) -> str:
    return f"unchanged: {address}"


def _model(tracking: Tracking, version: ModelVersion) -> ModelFacts:
    params = tracking.params(version)
    return ModelFacts(
        name=version.name,
        version=version.version,
        backbone=version.tags["backbone"],
        is_champion=True,
        trained_at=version.made_at,
        settings={name: params[name] for name in NOTED if name in params},
        gate=_why_champion(version),
    )


def _why_champion(version: ModelVersion) -> str:
    """Give the gate's verdict; of a version that a person has made champion since, who did so, when and why."""
    verdict, made = version.tags.get("gate", ""), crownings(version)
    if not made or made[-1].why in verdict:
        return f"{version} {verdict}"
    return f"{version} was made champion by {made[-1].by} on {made[-1].at[:10]}: {made[-1].why}"


def _evaluation(values: dict[str, Any] | None) -> Evaluation | None:
    return Evaluation.from_dict(values) if values else None

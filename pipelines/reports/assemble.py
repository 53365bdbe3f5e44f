"""Assemble the contents of a report or notebook from the tables' figures and the model's own evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from pipelines import __version__
from pipelines.config.settings import Settings
from pipelines.evaluation.results import Evaluation
from pipelines.evaluation.review_policy import OperatingPointResult
from pipelines.reports.contents import ModelSummary, ReportContents
from pipelines.tracking.mlflow_client import EVALUATION, ModelVersion, Tracking
from pipelines.tracking.promotion import promotion_history

SHOWN_PARAMS = ("reg_param", "rows.train", "rows.validation", "rows.test", "train.class_weights")


def assemble(
    settings: Settings, tracking: Tracking, version: ModelVersion | None, parts: Mapping[str, Any]
) -> ReportContents:
    """Return the contents: `parts` from `collect_inputs`, and the evaluation of the version, if there is one."""
    evaluations = read_evaluations(tracking, version)
    return ReportContents(
        title=settings.report.title,
        created_at=datetime.now(timezone.utc),
        workspace=settings.workspace,
        version=__version__,
        model=_model(tracking, version) if version else None,
        evaluation=_evaluation(evaluations.get("test")),
        validation=_evaluation(evaluations.get("validation")),
        burst_evaluation=_evaluation(evaluations.get("burst_test")),
        folds=evaluations.get("evaluation", {}).get("folds", 0),
        caveats=tuple(evaluations.get("caveats", ())),
        classes_of_interest=tuple(settings.train.classes_of_interest),
        reviews=tuple(map(OperatingPointResult.from_dict, evaluations.get("operating_points", []))),
        **parts,
    )


def read_evaluations(tracking: Tracking, version: ModelVersion | None) -> dict[str, Any]:
    """Return the evaluation file of a version; an empty dict without one."""
    return tracking.read_json(version, EVALUATION) if version else {}


def _model(tracking: Tracking, version: ModelVersion) -> ModelSummary:
    params = tracking.params(version)
    return ModelSummary(
        name=version.name,
        version=version.version,
        backbone=version.tags["backbone"],
        trained_at=version.created,
        settings={name: params[name] for name in SHOWN_PARAMS if name in params},
        gate=_why_champion(version),
    )


def _why_champion(version: ModelVersion) -> str:
    """Return the gate's verdict; if a person has promoted the version since, who, when and why."""
    verdict, promotions = version.tags.get("gate", ""), promotion_history(version)
    if not promotions or promotions[-1].reason in verdict:
        return f"{version} {verdict}"
    last = promotions[-1]
    return f"{version} was made champion by {last.by} on {last.at[:10]}: {last.reason}"


def _evaluation(values: dict[str, Any] | None) -> Evaluation | None:
    return Evaluation.from_dict(values) if values else None

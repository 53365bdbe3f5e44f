"""Register a trained version: its run, its two models and its tags; then the gate."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any

from pipelines.classifiers.estimators import describe
from pipelines.classifiers.solvers import choose_solver
from pipelines.config.loader import flatten
from pipelines.config.settings import Settings
from pipelines.evaluation.split import SPLITS, split_size
from pipelines.redaction import redact
from pipelines.reports.model_card import model_card
from pipelines.stages.train.gate import apply_gate
from pipelines.stages.train.result import TrainingResult
from pipelines.stages.train.serve import register_served_model
from pipelines.stages.train.suspects import RANKING_FILE
from pipelines.stages.train.training_data import Selection, count_images
from pipelines.tracking.code_version import code_version
from pipelines.tracking.mlflow_client import EVALUATION, ModelVersion, Tracking
from pipelines.workspace.tables import Tables

PLOTS = "pipelines.reports.plots"  # matplotlib is imported while Spark starts


def register(
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


def _describe_classifier(settings: Settings, trained: TrainingResult) -> str:
    """Return a description of the classifier and of the views of the images that it uses."""
    predicted = "averaged over both views" if trained.policy.average_flip else "of the unflipped images"
    views = f"; trained on flipped images too, predictions {predicted}" if settings.featurize.horizontal_flip else ""
    return describe(settings.train, trained.parameters) + views


def version_tags(
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

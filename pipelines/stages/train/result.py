"""The result of a training, and its metrics under their MLflow names."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from pipelines.classifiers.classifier import CalibratedClassifier
from pipelines.evaluation.held_out import method_name
from pipelines.evaluation.leakage import Leakage
from pipelines.evaluation.results import Evaluation, Interval
from pipelines.evaluation.review_policy import OperatingPointResult, ReviewPolicy
from pipelines.stages.train.suspects import LabelErrors


@dataclass(frozen=True)
class TrainingResult:
    """A calibrated model with its policy, and the evaluation of both.

    `test` and `validation` (None without validation images) are of single images, `burst_test` of test images after
    the burst vote; `operating_points` have the review share and recall of each point on test. `ece_before` is the
    calibration error on test before temperature scaling. With `folds`, `test`, `burst_test`, `operating_points` and
    `ece_before` are from cross-validation over the groups of all splits, not from the test split. `caveats` are
    sentences for the reader of the metrics.
    """

    model: CalibratedClassifier
    classes: list[str]
    parameters: dict[str, Any]
    policy: ReviewPolicy
    test: Evaluation
    burst_test: Evaluation
    validation: Evaluation | None
    operating_points: tuple[OperatingPointResult, ...]
    ece_before: float
    folds: int = 0
    caveats: tuple[str, ...] = ()
    leakage: Leakage | None = None
    label_errors: LabelErrors = field(default_factory=LabelErrors)

    @property
    def temperature(self) -> float:
        return self.model.temperature

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self.caveats, *self.label_errors.notes())

    @property
    def method(self) -> str:
        return method_name(self.folds)

    def mlflow_metrics(self) -> dict[str, float | None]:
        """Return all metrics by their MLflow names: test.accuracy, test.accuracy.low ...

        Those of cross-validation have other names, so that no chart of runs mixes the two.
        """
        test, burst_test = ("cross_validation", "cross_validation_burst") if self.folds else ("test", "test_burst")
        flat: dict[str, float | None] = {f"{test}.calibration_error.before": self.ece_before}
        if self.leakage:
            flat["leakage.share"] = self.leakage.share
        for split, evaluation in ((test, self.test), (burst_test, self.burst_test), ("validation", self.validation)):
            for name, interval in evaluation.metrics.items() if evaluation else ():
                flat |= _flatten_interval(f"{split}.{name}", interval)
        for result in self.operating_points:
            point = result.point
            name = f"review.{_sanitize(point.label)}.{point.unit}.{point.recall:g}"
            flat |= _flatten_interval(f"{name}.share", result.share) | _flatten_interval(
                f"{name}.recall", result.recall
            )
        return flat

    def to_json(self) -> str:
        """Return the content of the version's evaluation file."""
        evaluations = {"test": self.test, "burst_test": self.burst_test, "validation": self.validation}
        values: dict[str, Any] = {name: each.to_dict() if each else None for name, each in evaluations.items()}
        values["operating_points"] = [result.to_dict() for result in self.operating_points]
        values["evaluation"] = {"method": self.method, "folds": self.folds}
        values["caveats"] = list(self.caveats)
        values["leakage"] = self.leakage.to_dict() if self.leakage else None
        values["label_errors"] = self.label_errors.to_dict()
        values["calibration"] = {"error_before": self.ece_before, "temperature": self.temperature}
        return json.dumps(values, indent=1)


def _flatten_interval(name: str, interval: Interval) -> dict[str, float | None]:
    return {name: interval.value, f"{name}.low": interval.low, f"{name}.high": interval.high}


def _sanitize(label: str) -> str:
    """Replace characters that MLflow does not accept in a name: not letters, digits, _ - . / or space."""
    return re.sub(r"[^\w\-./ ]", "_", label, flags=re.ASCII)

"""What a training has made, and its figures under the names that MLflow keeps them by."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from pyspark.ml import PipelineModel

from pipelines.evaluation.leakage import Leakage
from pipelines.evaluation.measurements import method_name
from pipelines.evaluation.results import Evaluation, Interval
from pipelines.evaluation.review_policy import OperatingPointResult, ReviewPolicy


@dataclass(frozen=True)
class TrainingResult:
    """Hold a calibrated model and what is decided with it, and what was measured of both.

    `test` and `validation` (None where there is none) are of single images, `voted` of test images after the vote
    of their bursts; `reviews` say what each operating point costs and finds on test. `uncalibrated` is the calibration
    error on test before the temperature. With `folds` the first, `voted`, `reviews` and `uncalibrated` are not of the
    test split: they are of cross-validation over the groups of all splits. `caveats` are sentences for whoever reads
    the figures.
    """

    model: PipelineModel
    classes: list[str]
    parameters: dict[str, Any]
    temperature: float
    policy: ReviewPolicy
    test: Evaluation
    burst_test: Evaluation
    validation: Evaluation | None
    operating_points: tuple[OperatingPointResult, ...]
    ece_before: float
    folds: int = 0
    caveats: tuple[str, ...] = ()
    leakage: Leakage | None = None

    @property
    def method(self) -> str:
        return method_name(self.folds)

    def mlflow_metrics(self) -> dict[str, float | None]:
        """Give every figure under the name that MLflow shows it by: test.accuracy, test.accuracy.low ...

        Those of cross-validation have names of their own, so that no chart of runs mixes the two.
        """
        test, voted = ("cross_validation", "cross_validation_voted") if self.folds else ("test", "voted")
        flat: dict[str, float | None] = {f"{test}.calibration_error.before": self.ece_before}
        if self.leakage:
            flat["leakage.share"] = self.leakage.share
        for split, found in ((test, self.test), (voted, self.burst_test), ("validation", self.validation)):
            for name, each in found.metrics.items() if found else ():
                flat |= _flatten_interval(f"{split}.{name}", each)
        for review in self.operating_points:
            point = review.point
            name = f"review.{_sanitize(point.label)}.{point.unit}.{point.recall:g}"
            flat |= _flatten_interval(f"{name}.share", review.share) | _flatten_interval(
                f"{name}.recall", review.recall
            )
        return flat

    def to_json(self) -> str:
        """Give what was measured as the text of the version's evaluation file."""
        evaluations = {"test": self.test, "voted": self.burst_test, "validation": self.validation}
        values: dict[str, Any] = {name: each.to_dict() if each else None for name, each in evaluations.items()}
        values["reviews"] = [review.to_dict() for review in self.operating_points]
        values["evaluation"] = {"method": self.method, "folds": self.folds}
        values["caveats"] = list(self.caveats)
        values["leakage"] = self.leakage.to_dict() if self.leakage else None
        values["calibration"] = {"error_before": self.ece_before, "temperature": self.temperature}
        return json.dumps(values, indent=1)


def _flatten_interval(name: str, figure: Interval) -> dict[str, float | None]:
    return {name: figure.value, f"{name}.low": figure.low, f"{name}.high": figure.high}


def _sanitize(label: str) -> str:
    """Leave what MLflow takes in a name: letters, digits, _ - . / and spaces."""
    return re.sub(r"[^\w\-./ ]", "_", label, flags=re.ASCII)

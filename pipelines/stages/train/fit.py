"""Fit a pipeline: the calibrated model, and the policy selected on held-out images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.classifiers.classifier import CalibratedClassifier, Fit
from pipelines.classifiers.solvers import choose_solver
from pipelines.classifiers.training_set import TrainingSet
from pipelines.config.settings import Train
from pipelines.evaluation.predictions import PredictionSet, choose_policy, choose_views
from pipelines.evaluation.review_policy import ReviewPolicy, select_classes_of_interest


@dataclass(frozen=True)
class FittedPipeline:
    """A calibrated model and its policy.

    `validation` are the calibrated predictions for the held-out images; None if none were held out. `converged`: as of
    the `Fit`.
    """

    model: CalibratedClassifier
    parameters: dict[str, Any]
    policy: ReviewPolicy
    validation: PredictionSet | None
    converged: bool = True


def fit_pipeline(rows: TrainingSet, classes: Sequence[str], settings: Train) -> FittedPipeline:
    """Fit on rows without test images.

    Selected on predictions for unseen groups (`train.cv_folds`): the parameters with the lowest log-loss, whether to
    average with the flipped images (if they have features), the temperature, the burst vote and the operating points.
    """
    fitted = _fit(rows, list(classes), settings)
    both, temperature, validation = choose_views(fitted.predictions) if fitted.predictions else (False, 1.0, None)
    policy = choose_policy(
        validation, select_classes_of_interest(classes, settings.classes_of_interest), settings.burst_aggregation
    )
    model = CalibratedClassifier(fitted.classifier, temperature)
    policy = replace(policy, average_flip=both)
    return FittedPipeline(model, fitted.parameters, policy, validation, fitted.converged)


def fit_cross_validated(rows: TrainingSet, classes: Sequence[str], settings: Train, folds: int) -> Fit:
    """Fit on all rows, with predictions by models that were trained without the row's group."""
    if "fold" not in rows.images:
        rows = rows.with_folds(folds, settings.split_salt)
    return choose_solver(rows, settings).cross_validate(rows, classes, settings, folds)


def _fit(rows: TrainingSet, classes: list[str], settings: Train) -> Fit:
    folds = min(settings.cv_folds, rows.count_groups())
    if folds > 1:
        return fit_cross_validated(rows, classes, settings, folds)
    training, validation = rows, rows.in_split()  # one group: nothing can be held out
    if not settings.cv_folds and len(rows.in_split("train")):
        training, validation = rows.in_split("train"), rows.in_split("validation")
    return choose_solver(rows, settings).fit_with_validation(training, validation, classes, settings)

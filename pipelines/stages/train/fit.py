"""Fit a pipeline: the calibrated model, and the policy selected on held-out images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame

from pipelines.classifiers.cross_validation import CrossValidationResult, fit_with_validation
from pipelines.classifiers.transformers import with_temperature_scaling
from pipelines.config.settings import Train
from pipelines.evaluation.predictions import PredictionSet, choose_policy, choose_views
from pipelines.evaluation.review_policy import ReviewPolicy, select_classes_of_interest
from pipelines.stages.train.training_data import fit_cross_validated, fit_with_holdout


@dataclass(frozen=True)
class FittedPipeline:
    """A calibrated model and its policy.

    `validation` are the calibrated predictions for the held-out images; None if none were held out.
    """

    model: PipelineModel
    parameters: dict[str, Any]
    temperature: float
    policy: ReviewPolicy
    validation: PredictionSet | None


def fit_pipeline(rows: DataFrame, classes: Sequence[str], settings: Train) -> FittedPipeline:
    """Fit on rows of features, label, burst_id, group_id, split, without test images.

    Selected on predictions for unseen groups (`train.cv_folds`): the parameters with the lowest log-loss, whether to
    average with the flipped images (if they have features), the temperature, the burst vote and the operating points.
    """
    fitted, predictions = _fit_and_predict(rows, list(classes), settings)
    both, temperature, validation = choose_views(predictions) if predictions else (False, 1.0, None)
    policy = choose_policy(
        validation, select_classes_of_interest(classes, settings.classes_of_interest), settings.burst_aggregation
    )
    model = with_temperature_scaling(fitted.model, temperature)
    return FittedPipeline(model, fitted.parameters, temperature, replace(policy, average_flip=both), validation)


def _fit_and_predict(
    rows: DataFrame, classes: list[str], settings: Train
) -> tuple[CrossValidationResult, PredictionSet | None]:
    folds = min(settings.cv_folds, rows.select("group_id").distinct().count())
    if folds > 1:
        return fit_cross_validated(rows, classes, settings, folds)
    if not settings.cv_folds and rows.where("split = 'train'").head(1):
        return fit_with_holdout(rows, classes, settings)
    return fit_with_validation(rows, rows.limit(0), classes, settings), None  # one group: nothing can be held out

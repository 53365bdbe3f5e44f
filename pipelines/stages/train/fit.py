"""The recipe of a training: a fitted model, and what is chosen with it on images held out of learning."""

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
    """Hold a calibrated model and the choices made with it.

    `validation` are its answers for what was held out, calibrated; None where nothing was.
    """

    model: PipelineModel
    parameters: dict[str, Any]
    temperature: float
    policy: ReviewPolicy
    validation: PredictionSet | None


def fit_pipeline(rows: DataFrame, classes: Sequence[str], settings: Train) -> FittedPipeline:
    """Fit on rows of features, label, burst_id, group_id, split, none of which may be test images.

    Chosen on answers about groups that the model asked has not seen (`train.cv_folds`): the parameters with the lowest
    log-loss, whether flipped images are asked about too (where there are features of them), the temperature, the vote
    of a burst and the operating points.
    """
    fitted, said = _fit_and_predict(rows, list(classes), settings)
    both, temperature, validation = choose_views(said) if said else (False, 1.0, None)
    decision = choose_policy(
        validation, select_classes_of_interest(classes, settings.classes_of_interest), settings.burst_aggregation
    )
    model = with_temperature_scaling(fitted.model, temperature)
    return FittedPipeline(model, fitted.parameters, temperature, replace(decision, average_flip=both), validation)


def _fit_and_predict(
    rows: DataFrame, classes: list[str], settings: Train
) -> tuple[CrossValidationResult, PredictionSet | None]:
    folds = min(settings.cv_folds, rows.select("group_id").distinct().count())
    if folds > 1:
        return fit_cross_validated(rows, classes, settings, folds)
    if not settings.cv_folds and rows.where("split = 'train'").head(1):
        return fit_with_holdout(rows, classes, settings)
    return fit_with_validation(rows, rows.limit(0), classes, settings), None  # one group: nothing can be held out

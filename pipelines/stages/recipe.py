"""The recipe of a training: a fitted model, and what is chosen with it on images held out of learning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame

from pipelines.evaluation.answers import Answers, best_views, decide
from pipelines.evaluation.decision import Decision
from pipelines.evaluation.operating_point import classes_of_interest
from pipelines.models.classifiers import calibrated
from pipelines.models.cross_validation import Fitted, hold_out
from pipelines.settings import Train
from pipelines.stages.learning import cross_validated, held_out


@dataclass(frozen=True)
class Recipe:
    """Hold a calibrated model and the choices made with it.

    `validation` are its answers for what was held out, calibrated; None where nothing was.
    """

    model: PipelineModel
    parameters: dict[str, Any]
    temperature: float
    decision: Decision
    validation: Answers | None


def fit_recipe(rows: DataFrame, classes: Sequence[str], settings: Train) -> Recipe:
    """Fit on rows of features, label, burst_id, group_id, split, none of which may be test images.

    Chosen on answers about groups that the model asked has not seen (`train.folds`): the parameters with the lowest
    log-loss, whether mirror images are asked about too (where there are features of them), the temperature, the vote
    of a burst and the operating points.
    """
    fitted, said = _fit(rows, list(classes), settings)
    both, temperature, validation = best_views(said) if said else (False, 1.0, None)
    decision = decide(validation, classes_of_interest(classes, settings.classes_of_interest), settings.vote)
    model = calibrated(fitted.model, temperature)
    return Recipe(model, fitted.parameters, temperature, replace(decision, both_views=both), validation)


def _fit(rows: DataFrame, classes: list[str], settings: Train) -> tuple[Fitted, Answers | None]:
    folds = min(settings.folds, rows.select("group_id").distinct().count())
    if folds > 1:
        return cross_validated(rows, classes, settings, folds)
    if not settings.folds and rows.where("split = 'train'").head(1):
        return held_out(rows, classes, settings)
    return hold_out(rows, rows.limit(0), classes, settings), None  # one group: nothing can be held out

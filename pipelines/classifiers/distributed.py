"""Fit any classifier in Spark: the rows stay with the executors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyspark.ml import Estimator, Pipeline, PipelineModel, Transformer
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.feature import PCA, StandardScaler
from pyspark.ml.tuning import CrossValidator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.classifiers.classifier import Fit
from pipelines.classifiers.estimators import build_estimator
from pipelines.classifiers.predict import predict_labelled, predict_out_of_fold
from pipelines.classifiers.training_set import TrainingSet
from pipelines.classifiers.transformers import UNKNOWN_WEIGHT, VECTOR, prepare_training_rows
from pipelines.config.settings import Train
from pipelines.evaluation.predictions import PredictionSet

PARALLELISM = 2  # concurrent fits: the tasks of one fill the gaps between those of the other
LOSS_WEIGHT = "loss_weight"  # column: weight of a row in the log-loss


class SparkSolver:
    """Spark ML's estimators and cross-validation."""

    name = "Spark"

    def cross_validate(self, rows: TrainingSet, classes: Sequence[str], settings: Train, folds: int) -> Fit:
        """Fit and select as `Solver.cross_validate`."""
        result = cross_validate(rows.to_dataframe(), classes, settings, folds)
        known = rows.to_dataframe().where(~F.col("label").isin(list(result.single_fold_labels)))
        predictions = predict_out_of_fold(result.fold_models, known, classes)
        return Fit(
            SparkClassifier(result.model), result.parameters, result.losses, predictions, has_converged(result.model)
        )

    def fit_with_validation(
        self, rows: TrainingSet, validation: TrainingSet, classes: Sequence[str], settings: Train
    ) -> Fit:
        """Fit and select as `Solver.fit_with_validation`."""
        result = fit_with_validation(rows.to_dataframe(), validation.to_dataframe(), classes, settings)
        classifier = SparkClassifier(result.model)
        predictions = classifier.predict(validation, classes)
        return Fit(classifier, result.parameters, result.losses, predictions, has_converged(result.model))


@dataclass(frozen=True)
class SparkClassifier:
    """A fitted pipeline, which predicts in Spark."""

    model: PipelineModel

    def predict(self, rows: TrainingSet, classes: Sequence[str]) -> PredictionSet | None:
        """Return predictions for the rows, as `Classifier.predict`; of very many rows those of a sample of groups."""
        return predict_labelled(self.model, rows.to_dataframe(), classes) if len(rows) else None

    def to_pipeline(self) -> PipelineModel:
        """Return the pipeline."""
        return self.model


@dataclass(frozen=True)
class CrossValidationResult:
    """The model of all rows with the selected parameters, and for each fold a model of the other folds.

    `losses` are the mean log-losses, in nats, of all parameter sets in their order. `single_fold_labels` are those
    whose images are all in one fold: the model without that fold does not know them.
    """

    model: PipelineModel
    parameters: dict[str, Any]
    losses: tuple[float, ...]
    fold_models: tuple[PipelineModel, ...] = ()
    single_fold_labels: tuple[str, ...] = ()


def cross_validate(rows: DataFrame, classes: Sequence[str], settings: Train, folds: int) -> CrossValidationResult:
    """Fit the classifier of the settings on rows of features, label (text), fold, and optionally flipped.

    The parameters with the lowest log-loss on the held-out folds are selected, the first of equals, and used for the
    model of all rows. Classes have the same weights as in the fit (class_weights), except labels in one fold only:
    the model without that fold cannot know them, so their loss does not depend on the parameters.
    """
    single_fold = rows.groupBy("label").agg(F.countDistinct("fold").alias("folds")).where("folds = 1").collect()
    single_fold_labels = tuple(sorted(row["label"] for row in single_fold))
    vectors = prepare_training_rows(rows, classes, settings.class_weights)
    is_single = F.col("label").isin([float(classes.index(label)) for label in single_fold_labels])
    vectors = vectors.withColumn(
        LOSS_WEIGHT, F.when(is_single, F.col("weight") * UNKNOWN_WEIGHT).otherwise(F.col("weight"))
    )
    vectors = vectors.select("vector", "label", "weight", LOSS_WEIGHT, "fold").cache()
    try:
        spec = build_estimator(settings, _features_column(settings))
        validator = CrossValidator(
            estimator=_build_pipeline(settings, spec.estimator),
            estimatorParamMaps=spec.spark_param_maps(),
            evaluator=_make_evaluator(LOSS_WEIGHT),
            numFolds=folds,
            foldCol="fold",
            collectSubModels=True,
            parallelism=PARALLELISM,
        )
        fitted = validator.fit(vectors)
    finally:
        vectors.unpersist()
    best = int(np.argmin(fitted.avgMetrics))
    return CrossValidationResult(
        _full_pipeline(fitted.bestModel),
        spec.param_grid[best],
        tuple(fitted.avgMetrics),
        tuple(_full_pipeline(models[best]) for models in fitted.subModels),
        single_fold_labels,
    )


def fit_with_validation(
    rows: DataFrame, validation: DataFrame, classes: Sequence[str], settings: Train
) -> CrossValidationResult:
    """Fit on `rows`, and select the parameters with the lowest log-loss on `validation`; the first if it is empty."""
    spec = build_estimator(settings, _features_column(settings))
    grid = spec.spark_param_maps() if validation.head(1) else spec.spark_param_maps()[:1]
    training, held_out = (
        prepare_training_rows(part, classes, settings.class_weights).cache() for part in (rows, validation)
    )
    try:
        models = [_build_pipeline(settings, spec.estimator).fit(training, parameters) for parameters in grid]
        losses = [_make_evaluator().evaluate(model.transform(held_out)) for model in models] if len(grid) > 1 else [0.0]
    finally:
        training.unpersist(), held_out.unpersist()
    best = int(np.argmin(losses))
    return CrossValidationResult(_full_pipeline(models[best]), spec.param_grid[best], tuple(losses))


def has_converged(model: PipelineModel) -> bool:
    """Return whether a fitted logistic regression ended before its last iteration; True for other classifiers."""
    last = model.stages[-1]
    if not isinstance(last, LogisticRegressionModel):
        return True
    return bool(last.summary.totalIterations < last.getMaxIter())


def _build_pipeline(settings: Train, last: Estimator[Any]) -> Estimator[Any]:
    """Return the estimator, after scaling and PCA if the settings ask for components."""
    if not settings.pca_components:
        return last
    scaler = StandardScaler(inputCol="vector", outputCol="scaled", withMean=True, withStd=True)
    return Pipeline(stages=[scaler, PCA(k=settings.pca_components, inputCol="scaled", outputCol="components"), last])


def _features_column(settings: Train) -> str:
    return "components" if settings.pca_components else "vector"


def _make_evaluator(weight: str = "weight") -> MulticlassClassificationEvaluator:
    return MulticlassClassificationEvaluator(metricName="logLoss", probabilityCol="probability", weightCol=weight)


def _full_pipeline(model: Transformer) -> PipelineModel:
    """Return the pipeline from array<float> to the prediction."""
    return PipelineModel(stages=[VECTOR, *(model.stages if isinstance(model, PipelineModel) else [model])])

"""Cross-validation: which parameters a learner should have, and models for each fold that have not seen it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyspark.ml import Estimator, Pipeline, PipelineModel, Transformer
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.feature import PCA, StandardScaler
from pyspark.ml.tuning import CrossValidator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.classifiers.estimators import build_estimator
from pipelines.classifiers.transformers import VECTOR, prepare_training_rows
from pipelines.config.settings import Train

PARALLELISM = 2  # fits at a time: the tasks of one fill the gaps between those of the other
JUDGED = "judged"  # the column of weights in the log-loss
UNKNOWN = 1e-9  # share of its weight that a row of an unknown label keeps: a fold of such rows alone still has a loss


@dataclass(frozen=True)
class CrossValidationResult:
    """Hold the model of all rows with the parameters that won, and for each fold a model of the other folds.

    `losses` is the mean log-loss, in nats, of every set of parameters tried, in their order. `single` are the labels
    whose images are all of one fold: the models that have not seen the fold do not know them.
    """

    model: PipelineModel
    parameters: dict[str, Any]
    losses: tuple[float, ...]
    fold_models: tuple[PipelineModel, ...] = ()
    single: tuple[str, ...] = ()


def cross_validate(rows: DataFrame, classes: Sequence[str], settings: Train, folds: int) -> CrossValidationResult:
    """Fit the learner of the settings on rows of features, label (text), fold, and perhaps flipped.

    The parameters with the lowest log-loss on the held-out folds win, the first of equals, and the model of all rows
    has them. Every class counts there as it does in the fit (class_weights), but for labels that lie in one fold alone:
    no model could know them there, and their loss would say nothing about the parameters.
    """
    counted = rows.groupBy("label").agg(F.countDistinct("fold").alias("folds")).where("folds = 1").collect()
    single = tuple(sorted(row["label"] for row in counted))
    vectors = prepare_training_rows(rows, classes, settings.class_weights)
    is_single = F.col("label").isin([float(classes.index(label)) for label in single])
    vectors = vectors.withColumn(JUDGED, F.when(is_single, F.col("weight") * UNKNOWN).otherwise(F.col("weight")))
    vectors = vectors.select("vector", "label", "weight", JUDGED, "fold").cache()
    try:
        chosen = build_estimator(settings, _last_column(settings))
        validator = CrossValidator(
            estimator=_steps(settings, chosen.estimator),
            estimatorParamMaps=chosen.spark_param_maps(),
            evaluator=_judge(JUDGED),
            numFolds=folds,
            foldCol="fold",
            collectSubModels=True,
            parallelism=PARALLELISM,
        )
        found = validator.fit(vectors)
    finally:
        vectors.unpersist()
    best = int(np.argmin(found.avgMetrics))
    return CrossValidationResult(
        _whole(found.bestModel),
        chosen.param_grid[best],
        tuple(found.avgMetrics),
        tuple(_whole(models[best]) for models in found.subModels),
        single,
    )


def fit_with_validation(
    rows: DataFrame, held: DataFrame, classes: Sequence[str], settings: Train
) -> CrossValidationResult:
    """Fit on `rows`, and let log-loss on `held` choose the parameters; the first ones where it is empty."""
    chosen = build_estimator(settings, _last_column(settings))
    tried = chosen.spark_param_maps() if held.head(1) else chosen.spark_param_maps()[:1]
    vectors, judging = (prepare_training_rows(each, classes, settings.class_weights).cache() for each in (rows, held))
    try:
        models = [_steps(settings, chosen.estimator).fit(vectors, parameters) for parameters in tried]
        losses = [_judge().evaluate(model.transform(judging)) for model in models] if len(tried) > 1 else [0.0]
    finally:
        vectors.unpersist(), judging.unpersist()
    best = int(np.argmin(losses))
    return CrossValidationResult(_whole(models[best]), chosen.param_grid[best], tuple(losses))


def _steps(settings: Train, last: Estimator[Any]) -> Estimator[Any]:
    """Put the analysis of principal components, if it is wanted, before the learner."""
    if not settings.pca_components:
        return last
    scaler = StandardScaler(inputCol="vector", outputCol="scaled", withMean=True, withStd=True)
    return Pipeline(stages=[scaler, PCA(k=settings.pca_components, inputCol="scaled", outputCol="components"), last])


def _last_column(settings: Train) -> str:
    return "components" if settings.pca_components else "vector"


def _judge(weight: str = "weight") -> MulticlassClassificationEvaluator:
    return MulticlassClassificationEvaluator(metricName="logLoss", probabilityCol="probability", weightCol=weight)


def _whole(model: Transformer) -> PipelineModel:
    """Give the pipeline from array<float> to the answer."""
    return PipelineModel(stages=[VECTOR, *(model.stages if isinstance(model, PipelineModel) else [model])])

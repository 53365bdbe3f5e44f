"""The linear head of a classifier's Spark pipeline: its logits as a linear function of the features."""

from __future__ import annotations

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.feature import PCAModel, StandardScalerModel

from pipelines.classifiers.transformers import ArrayToVector, TemperatureScaling
from pipelines.explanation.head import Floats, LinearHead


def read_linear_head(model: PipelineModel) -> LinearHead | None:
    """Return the logits of a pipeline as a linear function of its features; None if it is not linear.

    Undoes scaling and PCA, from the last stage to the first; the temperature divides the logits.
    """
    head: LinearHead | None = None
    temperature = 1.0
    for stage in reversed(model.stages):
        if isinstance(stage, TemperatureScaling):
            temperature = stage.getOrDefault(stage.temperature)
        elif isinstance(stage, LogisticRegressionModel):
            head = read_logits(stage)
        elif isinstance(stage, PCAModel) and head:
            head = head.before_projection(np.asarray(stage.pc.toArray()))
        elif isinstance(stage, StandardScalerModel) and head:
            head = head.before_scaling(*read_scaling(stage))
        elif not (isinstance(stage, ArrayToVector) and head):
            return None
    return head.with_temperature(temperature) if head else None


def read_logits(model: LogisticRegressionModel) -> LinearHead:
    """Return the logits of a logistic regression; a binary one has zeros for its first class."""
    coefficients, intercepts = model.coefficientMatrix.toArray(), model.interceptVector.toArray()
    if len(intercepts) == 1:  # binomial: the logit of the second class against the first
        coefficients, intercepts = np.vstack([0 * coefficients, coefficients]), np.append(0.0, intercepts)
    return LinearHead(coefficients, intercepts)


def read_scaling(model: StandardScalerModel) -> tuple[Floats, Floats]:
    """Return mean and factor of each feature, as Spark applies them: constant features become 0."""
    deviation, mean = model.std.toArray(), model.mean.toArray()
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    has_scale, has_mean = model.getOrDefault(model.withStd), model.getOrDefault(model.withMean)
    return mean if has_mean else 0 * mean, scale if has_scale else np.ones_like(scale)

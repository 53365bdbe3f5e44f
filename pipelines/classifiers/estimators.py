"""Estimators for the classifier, each with its parameter grid."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from pyspark import SparkContext
from pyspark.ml import Estimator
from pyspark.ml.classification import LogisticRegression, RandomForestClassifier

from pipelines.config.settings import SYNAPSEML, SYNAPSEML_PYTHON, Train
from pipelines.errors import PlatformError

_COLUMNS = {"labelCol": "label", "weightCol": "weight"}
TOLERANCE = 1e-7  # relative change of the loss; probabilities then agree with the solver in memory to about 1e-4
_SEED = 0


@dataclass(frozen=True)
class EstimatorSpec:
    """An estimator on the columns features (a vector), label and weight, with its parameter grid.

    `param_grid` has the names of the settings; `names` maps them to those of Spark ML.
    """

    estimator: Estimator[Any]
    param_grid: tuple[dict[str, Any], ...]
    names: Mapping[str, str] = field(default_factory=dict)

    def spark_param_maps(self) -> list[dict[Any, Any]]:
        """Return the parameter grid as Spark ML's param maps."""
        return [
            {self.estimator.getParam(self.names[name]): value for name, value in parameters.items()}
            for parameters in self.param_grid
        ]


def build_estimator(settings: Train, features: str) -> EstimatorSpec:
    """Return the estimator of the settings on a column of features. Raises PlatformError if it is not installed."""
    return _BUILDERS[settings.classifier](settings, features)


def describe(settings: Train, parameters: Mapping[str, Any]) -> str:
    """Return a sentence part on the classifier and the selected parameters."""
    on = f"{settings.pca_components} principal components" if settings.pca_components else "features"
    if settings.classifier == "logistic_regression":
        penalty = f"penalty {parameters['reg_param']:g} ({settings.elastic_net:.0%} of it L1)"
        return f"multinomial logistic regression on standardised {on}, {penalty}"
    if settings.classifier == "random_forest":
        return f"random forest of {settings.num_trees} trees, at most {settings.max_depth} levels deep, on {on}"
    rate = f"learning rate {settings.learning_rate:g}"
    return f"LightGBM, {settings.num_trees} trees a class, at most {settings.max_depth} levels deep, {rate}, on {on}"


def _build_logistic_regression(settings: Train, features: str) -> EstimatorSpec:
    """Return logistic regression that standardises: the penalty is on coefficients of scaled features."""
    regression = LogisticRegression(
        featuresCol=features,
        family="multinomial",
        elasticNetParam=settings.elastic_net,
        maxIter=settings.max_iter,
        tol=TOLERANCE,
        standardization=True,
        **_COLUMNS,
    )
    return EstimatorSpec(
        regression, tuple({"reg_param": value} for value in settings.reg_params), {"reg_param": "regParam"}
    )


def _build_random_forest(settings: Train, features: str) -> EstimatorSpec:
    forest = RandomForestClassifier(
        featuresCol=features,
        numTrees=settings.num_trees,
        maxDepth=settings.max_depth,
        minInstancesPerNode=settings.min_samples_leaf,
        seed=_SEED,
        **_COLUMNS,
    )
    return EstimatorSpec(forest, ({},))


def _build_lightgbm(settings: Train, features: str) -> EstimatorSpec:
    boosting = import_lightgbm().LightGBMClassifier(
        featuresCol=features,
        objective="multiclass",
        numIterations=settings.num_trees,
        maxDepth=settings.max_depth,
        learningRate=settings.learning_rate,
        minDataInLeaf=settings.min_samples_leaf,
        lambdaL2=settings.lambda_l2,
        featureFraction=settings.feature_fraction,
        seed=_SEED,
        verbosity=-1,
        **_COLUMNS,
    )
    return EstimatorSpec(boosting, ({},))


_BUILDERS = {
    "logistic_regression": _build_logistic_regression,
    "random_forest": _build_random_forest,
    "lightgbm": _build_lightgbm,
}


PACKAGE_PREFIX = "pipelines.classifiers."


def import_lightgbm() -> Any:
    """Return SynapseML's LightGBM module. Raises PlatformError, with the remedy, unless Python and Spark have it."""
    if find_spec("synapse") is None:
        raise PlatformError(f"LightGBM is part of SynapseML, which is not installed. pip install {SYNAPSEML_PYTHON}")
    context = SparkContext._active_spark_context
    assert context is not None and context._jvm is not None
    java_class = context._jvm.com.microsoft.azure.synapse.ml.lightgbm.LightGBMClassifier
    if not callable(getattr(java_class, "load", None)) and type(java_class).__name__ == "JavaPackage":
        raise PlatformError(
            "LightGBM is part of SynapseML, whose jars this Spark session lacks (they are for Scala 2.12). "
            f"Start it with --packages {SYNAPSEML}, or here with --set train.classifier=lightgbm."
        )
    module = import_module("synapse.ml.lightgbm")
    allow_custom_stages()
    return module


def allow_custom_stages() -> None:
    """Allow SynapseML's reader, if it is imported, to load irbis's own pipeline stages.

    Importing SynapseML replaces Spark ML's reader by one that accepts only classes of pyspark and synapse.ml. It has no
    setting for others, so models saved before would be refused.
    """
    safe_import: Any = sys.modules.get("synapse.ml.core.serialize._safe_import")
    allowed = getattr(safe_import, "_ALLOWED_MODULE_PREFIXES", None)
    if allowed and PACKAGE_PREFIX not in allowed:
        safe_import._ALLOWED_MODULE_PREFIXES = (*allowed, PACKAGE_PREFIX)

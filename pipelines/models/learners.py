"""The learners that a classifier can be made of, each with the settings that are tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyspark.ml import Estimator
from pyspark.ml.classification import LogisticRegression, RandomForestClassifier

from pipelines.models.synapseml import lightgbm
from pipelines.settings import Train

_COLUMNS = {"labelCol": "label", "weightCol": "weight"}
TOLERANCE = 1e-4  # scikit-learn's; ten times finer takes a fifth more steps and changes no figure in the third place
_SEED = 0


@dataclass(frozen=True)
class Learner:
    """Hold an estimator on the columns features (a vector), label, weight, and the parameters to be tried with it.

    `tried` names them as the settings do, `names` as Spark ML does.
    """

    estimator: Estimator[Any]
    tried: tuple[dict[str, Any], ...]
    names: Mapping[str, str] = field(default_factory=dict)

    def grid(self) -> list[dict[Any, Any]]:
        """Give the parameters as Spark ML's maps."""
        return [
            {self.estimator.getParam(self.names[name]): value for name, value in parameters.items()}
            for parameters in self.tried
        ]


def learner(settings: Train, features: str) -> Learner:
    """Give the learner that the settings name, on a column of features. Raises PlatformError where it is lacking."""
    return _LEARNERS[settings.learner](settings, features)


def describe(settings: Train, parameters: Mapping[str, Any]) -> str:
    """Say in words what was fitted, with the parameters that won."""
    on = f"{settings.pca} principal components" if settings.pca else "features"
    if settings.learner == "logistic_regression":
        penalty = f"penalty {parameters['reg_param']:g} ({settings.elastic_net:.0%} of it L1)"
        return f"multinomial logistic regression on standardised {on}, {penalty}"
    if settings.learner == "random_forest":
        return f"random forest of {settings.trees} trees, at most {settings.depth} levels deep, on {on}"
    rate = f"learning rate {settings.learning_rate:g}"
    return f"LightGBM, {settings.trees} trees a class, at most {settings.depth} levels deep, {rate}, on {on}"


def _logistic_regression(settings: Train, features: str) -> Learner:
    """Scales within: the penalty is on coefficients of features brought to a standard deviation of 1."""
    regression = LogisticRegression(
        featuresCol=features,
        family="multinomial",
        elasticNetParam=settings.elastic_net,
        maxIter=settings.max_iter,
        tol=TOLERANCE,
        standardization=True,
        **_COLUMNS,
    )
    return Learner(regression, tuple({"reg_param": each} for each in settings.reg_params), {"reg_param": "regParam"})


def _random_forest(settings: Train, features: str) -> Learner:
    forest = RandomForestClassifier(
        featuresCol=features,
        numTrees=settings.trees,
        maxDepth=settings.depth,
        minInstancesPerNode=settings.min_leaf,
        seed=_SEED,
        **_COLUMNS,
    )
    return Learner(forest, ({},))


def _lightgbm(settings: Train, features: str) -> Learner:
    boosting = lightgbm().LightGBMClassifier(
        featuresCol=features,
        objective="multiclass",
        numIterations=settings.trees,
        maxDepth=settings.depth,
        learningRate=settings.learning_rate,
        minDataInLeaf=settings.min_leaf,
        lambdaL2=settings.lambda_l2,
        featureFraction=settings.feature_share,
        seed=_SEED,
        verbosity=-1,
        **_COLUMNS,
    )
    return Learner(boosting, ({},))


_LEARNERS = {
    "logistic_regression": _logistic_regression,
    "random_forest": _random_forest,
    "lightgbm": _lightgbm,
}

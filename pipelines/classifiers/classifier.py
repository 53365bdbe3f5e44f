"""What a solver returns: a fitted classifier, and its selection by predictions for images that it was not fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pyspark.ml import PipelineModel

from pipelines.classifiers.training_set import TrainingSet
from pipelines.classifiers.transformers import with_temperature_scaling
from pipelines.config.settings import Train
from pipelines.evaluation.predictions import PredictionSet


class Classifier(Protocol):
    """A fitted classifier."""

    def predict(self, rows: TrainingSet, classes: Sequence[str]) -> PredictionSet | None:
        """Return predictions for the rows; None if there are none.

        `classes` are the model's own, in its order. Flipped copies are predicted too, if the rows have features of
        them.
        """

    def to_pipeline(self) -> PipelineModel:
        """Return the Spark ML pipeline from `features` to `probability`."""


@dataclass(frozen=True)
class Fit:
    """A classifier fitted on all rows with the selected parameters.

    `losses` are the mean log-losses, in nats, of all parameter sets in their order. `predictions` are for the held-out
    images, by classifiers that were not fitted on them; None if nothing was held out. `converged`: whether the solver
    reached the optimum within train.max_iter.
    """

    classifier: Classifier
    parameters: dict[str, Any]
    losses: tuple[float, ...]
    predictions: PredictionSet | None = None
    converged: bool = True


class Solver(Protocol):
    """A way to fit the classifier of the settings."""

    name: str

    def cross_validate(self, rows: TrainingSet, classes: Sequence[str], settings: Train, folds: int) -> Fit:
        """Fit on all rows; select the parameters with the lowest log-loss on the held-out folds, the first of equals.

        Classes have the same weights as in the fit (class_weights), except labels in one fold only: a model without
        that fold cannot know them, so their loss does not depend on the parameters, and they are not predicted.
        """

    def fit_with_validation(
        self, rows: TrainingSet, validation: TrainingSet, classes: Sequence[str], settings: Train
    ) -> Fit:
        """Fit on `rows`; select the parameters with the lowest log-loss on `validation`, the first if it is empty."""


@dataclass(frozen=True)
class CalibratedClassifier:
    """A classifier with a temperature that divides its logits."""

    classifier: Classifier
    temperature: float = 1.0

    def predict(self, rows: TrainingSet, classes: Sequence[str]) -> PredictionSet | None:
        """Return calibrated predictions, as `Classifier.predict`."""
        predictions = self.classifier.predict(rows, classes)
        return predictions.with_temperature(self.temperature) if predictions else None

    def to_pipeline(self) -> PipelineModel:
        """Return the Spark ML pipeline, with temperature scaling as its last stage."""
        return with_temperature_scaling(self.classifier.to_pipeline(), self.temperature)

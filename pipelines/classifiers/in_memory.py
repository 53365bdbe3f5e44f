"""Fit logistic regression in the driver's memory. The result is a Spark ML model all the same."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from pyspark import SparkContext
from pyspark.ml import PipelineModel
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.common import _py2java
from pyspark.ml.linalg import DenseMatrix, DenseVector
from pyspark.ml.util import Identifiable
from threadpoolctl import threadpool_limits

from pipelines.classifiers.classifier import Fit
from pipelines.classifiers.softmax_regression import Floats, Ints, SoftmaxModel, StandardizedFeatures
from pipelines.classifiers.training_set import Features, Mask, TrainingSet
from pipelines.classifiers.transformers import UNKNOWN_WEIGHT, VECTOR, weigh_classes
from pipelines.config.settings import Train
from pipelines.evaluation.folds import in_several_folds
from pipelines.evaluation.predictions import PredictionSet

ALL_ROWS = -1  # the fold that no row is in
_lock = threading.Lock()


@dataclass(frozen=True)
class InMemoryClassifier:
    """A logistic regression, as arrays."""

    model: SoftmaxModel

    def predict(self, rows: TrainingSet, classes: Sequence[str]) -> PredictionSet | None:
        """Return predictions for the rows, as `Classifier.predict`."""
        if not len(rows):
            return None
        plain, *others = rows.arrays()
        views = [self.model.predict_proba(plain)]
        for flipped in others:
            views.append(np.where(np.isnan(flipped[:, :1]), views[0], self.model.predict_proba(np.nan_to_num(flipped))))
        return _prediction_set(rows, classes, views)

    def to_pipeline(self) -> PipelineModel:
        """Return the Spark ML pipeline from `features` to `probability`."""
        k, d = self.model.coefficients.shape
        matrix = DenseMatrix(k, d, self.model.coefficients.ravel(), isTransposed=True)
        context = SparkContext._active_spark_context
        assert context is not None and context._jvm is not None
        uid = Identifiable._randomUID.__func__(LogisticRegressionModel)  # type: ignore[attr-defined]
        java_model = context._jvm.org.apache.spark.ml.classification.LogisticRegressionModel(
            uid, _py2java(context, matrix), _py2java(context, DenseVector(self.model.intercepts)), k, True
        )
        model = LogisticRegressionModel(java_model)
        model._resetUid(uid)
        model._set(featuresCol=VECTOR.getOutputCol())
        model._transfer_params_to_java()
        return PipelineModel(stages=[VECTOR, model])


class InMemorySolver:
    """Logistic regression with an L2 penalty by L-BFGS, with folds in parallel threads."""

    name = "in memory"

    def cross_validate(self, rows: TrainingSet, classes: Sequence[str], settings: Train, folds: int) -> Fit:
        """Fit and select as `Solver.cross_validate`."""
        problem, penalties, max_iter = _Problem.prepare(rows, classes, settings), settings.reg_params, settings.max_iter
        fold_of, several = rows.folds, in_several_folds(rows.labels, rows.folds)
        is_known = np.array([label in several for label in rows.labels])
        loss_weights = np.where(is_known, 1.0, UNKNOWN_WEIGHT)

        def fit_without(fold: int) -> tuple[list[SoftmaxModel], list[float]]:
            models = problem.fit(fold_of != fold, penalties, max_iter)
            return models, [problem.log_loss(model, fold_of == fold, loss_weights) for model in models]

        with _one_thread_each(folds + 1) as pool:
            *fold_fits, (models, _) = pool.map(fit_without, [*range(folds), ALL_ROWS])
        losses = np.mean([losses for _, losses in fold_fits], axis=0)
        best = int(np.argmin(losses))
        views = [np.zeros((len(rows), len(classes))) for _ in rows.store.views]
        for fold, (fold_models, _) in enumerate(fold_fits):
            problem.predict(fold_models[best], fold_of == fold, views)
        predicted = _prediction_set(rows, classes, views).take(is_known) if is_known.any() else None
        classifier, parameters = InMemoryClassifier(models[best]), {"reg_param": penalties[best]}
        return Fit(classifier, parameters, tuple(losses.tolist()), predicted, models[best].converged)

    def fit_with_validation(
        self, rows: TrainingSet, validation: TrainingSet, classes: Sequence[str], settings: Train
    ) -> Fit:
        """Fit and select as `Solver.fit_with_validation`."""
        penalties = settings.reg_params if len(validation) else settings.reg_params[:1]
        models = _Problem.prepare(rows, classes, settings).fit(np.ones(len(rows), bool), penalties, settings.max_iter)
        losses = [0.0]
        if len(penalties) > 1:
            held_out, everything = _Problem.prepare(validation, classes, settings), np.ones(len(validation))
            losses = [held_out.log_loss(model, everything > 0, everything) for model in models]
        best = int(np.argmin(losses))
        classifier = InMemoryClassifier(models[best])
        predictions = classifier.predict(validation, classes)
        return Fit(classifier, {"reg_param": penalties[best]}, tuple(losses), predictions, models[best].converged)


@dataclass(frozen=True)
class _Problem:
    """The rows of a fit: the images, then the flipped copies of those that have features of one."""

    features: StandardizedFeatures
    image: Ints  # index of each row's image
    targets: Ints
    weights: Floats
    classes: int

    @classmethod
    def prepare(cls, rows: TrainingSet, classes: Sequence[str], settings: Train) -> _Problem:
        index, labels = {name: i for i, name in enumerate(classes)}, rows.labels
        by_class = weigh_classes(Counter(labels), classes, settings.class_weights)
        targets = np.array([index[label] for label in labels], np.int64)
        weights = np.array([by_class[label] for label in labels])
        features, image = _stack_views(rows)
        return cls(StandardizedFeatures(features), image, targets[image], weights[image], len(classes))

    def fit(self, is_used: Mask, penalties: Sequence[float], max_iter: int) -> list[SoftmaxModel]:
        """Return a model for each penalty, fitted on the images of a mask."""
        weights = np.where(is_used[self.image], self.weights, 0.0)
        return self.features.fit_path(self.targets, weights, self.classes, penalties, max_iter)

    def log_loss(self, model: SoftmaxModel, is_used: Mask, factors: Floats) -> float:
        """Return the mean log-loss, in nats, of the images of a mask, weighted by class and by factors; 0 without."""
        rows = np.flatnonzero(is_used[self.image])
        if not len(rows):
            return 0.0
        likelihood = self.features.predict_proba(model, rows)[np.arange(len(rows)), self.targets[rows]]
        weights = self.weights[rows] * factors[self.image[rows]]
        return float(np.average(-np.log(np.maximum(likelihood, np.finfo(float).eps)), weights=weights))

    def predict(self, model: SoftmaxModel, is_used: Mask, views: Sequence[Floats]) -> None:
        """Write the probabilities of the images of a mask into the views; without a flipped copy those of the image."""
        rows = np.flatnonzero(is_used[self.image])
        probabilities = self.features.predict_proba(model, rows)
        is_plain = rows < len(is_used)
        views[0][rows[is_plain]] = probabilities[is_plain]
        for flipped in views[1:]:
            flipped[self.image[rows]] = probabilities  # a copy comes after its image, and replaces its probabilities


def _stack_views(rows: TrainingSet) -> tuple[Features, Ints]:
    """Return an own copy of the features of all views, and the index of each row's image."""
    plain, *others = rows.arrays()
    image = np.arange(len(plain))
    for flipped in others:
        has_copy = np.flatnonzero(~np.isnan(flipped[:, 0]))
        plain, image = np.concatenate([plain, flipped[has_copy]]), np.concatenate([image, has_copy])
    return plain, image


def _prediction_set(rows: TrainingSet, classes: Sequence[str], views: Sequence[Floats]) -> PredictionSet:
    flipped = views[1] if len(views) > 1 else None
    bursts, groups = rows.column("burst_id").tolist(), rows.column("group_id").tolist()
    hashes = rows.column("content_hash").tolist()
    return PredictionSet(rows.labels, views[0], tuple(classes), bursts, groups, flipped, hashes)


@contextmanager
def _one_thread_each(tasks: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of one thread per core and task, between which the threads of BLAS are divided.

    Thin matrix products gain little from threads of their own, and those of concurrent fits would compete. The limit
    holds for the process, so the fits of a sweep's trials take turns.
    """
    cores = os.cpu_count() or 1
    workers = min(tasks, cores)
    with _lock, threadpool_limits(cores // workers, "blas"), ThreadPoolExecutor(workers) as pool:
        yield pool

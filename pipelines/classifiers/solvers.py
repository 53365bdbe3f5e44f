"""Choose the solver of a training set by the classifier and the size."""

from __future__ import annotations

from pipelines.classifiers.classifier import Solver
from pipelines.classifiers.distributed import SparkSolver
from pipelines.classifiers.in_memory import InMemorySolver
from pipelines.classifiers.training_set import TrainingSet
from pipelines.config.settings import Train


def choose_solver(rows: TrainingSet, settings: Train) -> Solver:
    """Return the solver in memory for logistic regression with an L2 penalty, if the features fit; else Spark's.

    The features of a whole training set count (`train.max_in_memory_values`), whatever part of it is fitted, so that
    all fits of a training have the same solver.
    """
    has_l2_penalty = settings.classifier == "logistic_regression" and not settings.elastic_net
    if has_l2_penalty and not settings.pca_components and rows.store.fits(settings.max_in_memory_values):
        return InMemorySolver()
    return SparkSolver()

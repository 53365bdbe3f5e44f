"""Compare the models that both solvers of logistic regression fit on the same images.

    python benchmarks/solvers_agree.py WORKSPACE [WORKSPACE ...] [--set KEY=VALUE ...]

Each workspace has features of the backbone of the settings. Both solvers cross-validate on the images of train and
validation and predict those of test. Prints, for each set: the largest difference of any standardised coefficient, of
any probability (held-out folds and test), the selected penalties, the metrics whose third decimal differs, and seconds.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from pipelines.backbones import feature_id
from pipelines.classifiers.classifier import Fit
from pipelines.classifiers.distributed import SparkSolver
from pipelines.classifiers.in_memory import InMemorySolver
from pipelines.classifiers.training_set import TrainingSet
from pipelines.config.loader import load_settings
from pipelines.config.settings import Settings
from pipelines.evaluation.predictions import PredictionSet
from pipelines.spark.session import get_session
from pipelines.stages.train.training_data import select_rows, training_rows
from pipelines.workspace.tables import Tables

FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspaces", nargs="+")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    values = dict(setting.split("=", 1) for setting in options.set)
    print("| set | images x features | coefficients | probabilities | penalty | other metrics | in memory | Spark |")
    print("|---|---|---|---|---|---|---|---|")
    for workspace in options.workspaces:
        compare(load_settings(None, {**values, "workspace": workspace}))


def compare(settings: Settings) -> None:
    """Print the row of one workspace."""
    spark = get_session(settings)
    everything = TrainingSet.collect(training_rows(Tables.of(spark, settings), settings, feature_id(settings)))
    rows = select_rows(everything, settings.train).rows
    training = rows.in_split("train", "validation").with_folds(FOLDS, settings.train.split_salt)
    test, classes = rows.in_split("test"), rows.classes
    features = training.arrays()[0]
    fits, tests, seconds = [], [], []
    for solver in (InMemorySolver(), SparkSolver()):
        start = time.perf_counter()
        fits.append(solver.cross_validate(training, classes, settings.train, FOLDS))
        seconds.append(time.perf_counter() - start)
        tests.append(fits[-1].classifier.predict(test, classes))
    coefficients = [standardized(fit) * features.std(axis=0) for fit in fits]
    held_out = [fit.predictions for fit in fits]
    probabilities = [
        np.concatenate([sort_rows(one), sort_rows(other)]) for one, other in zip(held_out, tests, strict=True)
    ]
    penalties = [fit.parameters["reg_param"] for fit in fits]
    metrics = [each.evaluate(bootstrap=0).metrics for each in tests]
    others = [name for name in metrics[0] if round(metrics[0][name].value, 3) != round(metrics[1][name].value, 3)]
    cells = [
        Path(settings.workspace).name,
        f"{len(rows):,} x {features.shape[1]:,}",
        f"{abs(coefficients[0] - coefficients[1]).max():.1e}",
        f"{abs(probabilities[0] - probabilities[1]).max():.1e}",
        f"{penalties[0]:g}, {penalties[1]:g}",
        ", ".join(others) or "none",
        *(f"{value:.1f} s" for value in seconds),
    ]
    print(f"| {' | '.join(cells)} |", flush=True)


def standardized(fit: Fit) -> np.ndarray:
    """Return the coefficients, which Spark keeps for features as they are, of the logistic regression."""
    return fit.classifier.to_pipeline().stages[-1].coefficientMatrix.toArray()


def sort_rows(predictions: PredictionSet) -> np.ndarray:
    """Return the probabilities in an order that does not depend on the solver: within a burst, each class by itself."""
    bursts = np.array(predictions.bursts)
    columns = [column[np.lexsort([column, bursts])] for column in predictions.probabilities.T]
    return np.stack(columns, axis=1)


if __name__ == "__main__":
    main()

"""Compare solvers: cross-validation by both of irbis, and the same fits by scikit-learn.

    python benchmarks/fit.py [--rows 2527] [--columns 512] [--rounds 5] [--solvers memory spark sklearn]

Random features of six classes, five folds and the penalties of `train.reg_params`: 25 fits, and one with the selected
penalty. Each round runs all solvers, in turns, after a warm-up; prints median, minimum and maximum, and the peak of the
memory of this process (its Python, not its JVM) and of its JVM. scikit-learn fits standardised features in an array in
memory, one fit after the other, with its own tolerance (1e-4). Without `sklearn` the rows may be too many for it.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from pyspark.sql import SparkSession
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from pipelines.classifiers.classifier import Solver
from pipelines.classifiers.distributed import SparkSolver
from pipelines.classifiers.in_memory import InMemorySolver
from pipelines.classifiers.training_set import TrainingSet
from pipelines.config.loader import load_settings
from pipelines.config.settings import Train
from pipelines.spark.session import get_session

CLASSES, FOLDS = [f"class {number}" for number in range(6)], 5


def make_data(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features (rows x columns) and class indices; classes differ in a tenth of the columns."""
    rng = np.random.default_rng(0)
    labels = rng.integers(len(CLASSES), size=rows)
    centres = rng.normal(size=(len(CLASSES), columns)) * (rng.random(columns) < 0.1)
    return (rng.normal(size=(rows, columns)) * 2 + centres[labels]).astype(np.float32), labels


def make_set(spark: SparkSession, features: np.ndarray, labels: np.ndarray, folder: Path) -> TrainingSet:
    """Return a training set whose features are in Parquet, each row a group of its own, with folds."""
    names = [f"{number:08}" for number in range(len(labels))]
    for start in range(0, len(labels), 10_000):
        block = slice(start, start + 10_000)
        columns = {"content_hash": names[block], "features": list(features[block])}
        columns |= {"label": [CLASSES[label] for label in labels[block]]}
        columns |= {"burst_id": names[block], "group_id": names[block]}
        pd.DataFrame(columns).to_parquet(folder / f"{start}.parquet")
    return TrainingSet.collect(spark.read.parquet(str(folder))).with_folds(FOLDS, "irbis")


def fit_scikit_learn(features: np.ndarray, labels: np.ndarray, folds: np.ndarray, settings: Train) -> None:
    """Fit the same 26 models: C multiplies the sum of the losses, a penalty of irbis their mean."""
    scaled = StandardScaler().fit_transform(features.astype(np.float64))
    for fold in range(FOLDS):
        kept = folds != fold
        for penalty in settings.reg_params:
            model = LogisticRegression(C=1 / (penalty * kept.sum()), max_iter=settings.max_iter)
            model.fit(scaled[kept], labels[kept]).predict_proba(scaled[~kept])
    LogisticRegression(C=1 / (0.1 * len(labels)), max_iter=settings.max_iter).fit(scaled, labels)


def peak_memory(spark: SparkSession) -> str:
    """Return the largest resident memory of this process and of its JVM so far."""
    status = Path(f"/proc/{spark.sparkContext._gateway.proc.pid}/status").read_text()  # type: ignore[union-attr]
    java = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    python = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f"{python / 2**20:.1f} GB in Python, {java / 2**20:.1f} GB in the JVM"


def time_call(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2527)
    parser.add_argument("--columns", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--solvers", nargs="+", default=["memory", "spark", "sklearn"])
    parser.add_argument("--driver-memory", default="2g")
    options = parser.parse_args()
    settings = load_settings(None, {"spark.driver_memory": options.driver_memory})
    spark = get_session(settings)
    features, labels = make_data(options.rows, options.columns)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        rows = make_set(spark, features, labels, Path(folder))
        folds = rows.folds
        if "sklearn" not in options.solvers:
            del features

        def by(solver: Solver) -> Callable[[], object]:
            return lambda: solver.cross_validate(rows, CLASSES, settings.train, FOLDS)

        work = {
            "memory": by(InMemorySolver()),
            "spark": by(SparkSolver()),
            "sklearn": lambda: fit_scikit_learn(features, labels, folds, settings.train),
        }
        times: dict[str, list[float]] = {name: [] for name in options.solvers}
        for number in range(options.rounds + 1):
            for name in options.solvers:
                seconds = time_call(work[name])
                rows.store.release()  # so that each round collects or caches the features
                if number:
                    times[name].append(seconds)
                print(f"round {number}: {name} {seconds:.2f} s; so far {peak_memory(spark)}", flush=True)
    for name, seconds_of in times.items():
        ratios = [one / other for one, other in zip(seconds_of, times[options.solvers[0]], strict=True)]
        print(
            f"{name:>8}: {statistics.median(seconds_of):.2f} s ({min(seconds_of):.2f} to {max(seconds_of):.2f}), "
            f"{statistics.median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f}) {options.solvers[0]}"
        )


if __name__ == "__main__":
    main()

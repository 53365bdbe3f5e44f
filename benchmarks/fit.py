"""Print how long Spark ML takes to fit what scikit-learn fits, side by side in one process.

    python benchmarks/fit.py [--rows 2527] [--columns 512] [--rounds 5] [--conf spark.driver.extraJavaOptions=...]

Drawn features of six classes, multinomial logistic regression with a penalty and the tolerance of `irbis train`, the
rows in Spark's memory and in one array. One fit of each to warm up, then rounds that take turns; medians, the lowest
and the highest. Both run L-BFGS until the loss changes by less than the tolerance; the steps that each takes are
printed too.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from pipelines.classifiers.estimators import TOLERANCE, build_estimator
from pipelines.classifiers.transformers import prepare_training_rows
from pipelines.config.loader import load_settings
from pipelines.spark.session import get_session

CLASSES, PENALTY = [f"class {number}" for number in range(6)], 0.1


def drawn(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Give features (rows x columns) and the classes' numbers; classes differ in a tenth of the columns."""
    chance = np.random.default_rng(0)
    labels = chance.integers(len(CLASSES), size=rows)
    centres = chance.normal(size=(len(CLASSES), columns)) * (chance.random(columns) < 0.1)
    return (chance.normal(size=(rows, columns)) * 2 + centres[labels]).astype(np.float32), labels


def frame(spark: SparkSession, features: np.ndarray, labels: np.ndarray) -> DataFrame:
    rows = [(row.tolist(), CLASSES[label]) for row, label in zip(features, labels, strict=True)]
    vectors = prepare_training_rows(spark.createDataFrame(rows, "features array<float>, label string"), CLASSES, "none")
    vectors = vectors.select("vector", "label", "weight").cache()
    vectors.count()
    return vectors


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def told(name: str, times: list[float], steps: int) -> str:
    middle = statistics.median(times)
    return (
        f"{name:>12}: {middle:.2f} s ({min(times):.2f} to {max(times):.2f}), "
        f"{steps} steps of {1000 * middle / steps:.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2527)
    parser.add_argument("--columns", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--conf", action="append", default=[], metavar="NAME=VALUE")
    chosen = parser.parse_args()
    conf = {f"spark.conf.{name}": value for name, _, value in (each.partition("=") for each in chosen.conf)}
    settings = load_settings(None, {"train.reg_params": str(PENALTY), **conf})
    features, labels = drawn(chosen.rows, chosen.columns)
    vectors = frame(get_session(settings), features, labels)
    estimator = build_estimator(settings.train, "vector")
    spark_fit = estimator.estimator.copy(estimator.spark_param_maps()[0])
    scaled = StandardScaler().fit_transform(features.astype(np.float64))
    # Its C is the sum's weight against the penalty; Spark's loss is a mean.
    other = LogisticRegression(C=1 / (PENALTY * len(labels)), tol=TOLERANCE, max_iter=settings.train.max_iter)
    warnings.simplefilter("ignore")
    steps = spark_fit.fit(vectors).summary.totalIterations, int(other.fit(scaled, labels).n_iter_[0])
    rounds = [
        (seconds(lambda: spark_fit.fit(vectors)), seconds(lambda: other.fit(scaled, labels)))
        for _ in range(chosen.rounds)
    ]
    for name, times, count in zip(("Spark ML", "scikit-learn"), zip(*rounds, strict=True), steps, strict=True):
        print(told(name, list(times), count))
    ratios = [one / two for one, two in rounds]
    print(f"Spark ML took {statistics.median(ratios):.1f} times as long ({min(ratios):.1f} to {max(ratios):.1f})")


if __name__ == "__main__":
    main()

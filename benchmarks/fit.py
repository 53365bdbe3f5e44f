"""Compare the fit time of Spark ML and scikit-learn in one process.

    python benchmarks/fit.py [--rows 2527] [--columns 512] [--rounds 5] [--conf spark.driver.extraJavaOptions=...]

Random features of six classes, multinomial logistic regression with a penalty and the tolerance of `irbis train`, the
rows cached in Spark and in one array. One warm-up fit of each, then interleaved rounds; prints median, minimum and
maximum. Both run L-BFGS until the loss changes by less than the tolerance; their numbers of iterations are printed too.
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


def make_data(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features (rows x columns) and class indices; classes differ in a tenth of the columns."""
    rng = np.random.default_rng(0)
    labels = rng.integers(len(CLASSES), size=rows)
    centres = rng.normal(size=(len(CLASSES), columns)) * (rng.random(columns) < 0.1)
    return (rng.normal(size=(rows, columns)) * 2 + centres[labels]).astype(np.float32), labels


def make_frame(spark: SparkSession, features: np.ndarray, labels: np.ndarray) -> DataFrame:
    rows = [(row.tolist(), CLASSES[label]) for row, label in zip(features, labels, strict=True)]
    vectors = prepare_training_rows(spark.createDataFrame(rows, "features array<float>, label string"), CLASSES, "none")
    vectors = vectors.select("vector", "label", "weight").cache()
    vectors.count()
    return vectors


def time_call(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def summarize(name: str, times: list[float], steps: int) -> str:
    median = statistics.median(times)
    return (
        f"{name:>12}: {median:.2f} s ({min(times):.2f} to {max(times):.2f}), "
        f"{steps} iterations of {1000 * median / steps:.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2527)
    parser.add_argument("--columns", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--conf", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    conf = {f"spark.conf.{name}": value for name, _, value in (text.partition("=") for text in options.conf)}
    settings = load_settings(None, {"train.reg_params": str(PENALTY), **conf})
    features, labels = make_data(options.rows, options.columns)
    vectors = make_frame(get_session(settings), features, labels)
    estimator = build_estimator(settings.train, "vector")
    spark_fit = estimator.estimator.copy(estimator.spark_param_maps()[0])
    scaled = StandardScaler().fit_transform(features.astype(np.float64))
    # scikit-learn weights the sum of the losses by C; Spark uses their mean.
    other = LogisticRegression(C=1 / (PENALTY * len(labels)), tol=TOLERANCE, max_iter=settings.train.max_iter)
    warnings.simplefilter("ignore")
    steps = spark_fit.fit(vectors).summary.totalIterations, int(other.fit(scaled, labels).n_iter_[0])
    rounds = [
        (time_call(lambda: spark_fit.fit(vectors)), time_call(lambda: other.fit(scaled, labels)))
        for _ in range(options.rounds)
    ]
    for name, times, count in zip(("Spark ML", "scikit-learn"), zip(*rounds, strict=True), steps, strict=True):
        print(summarize(name, list(times), count))
    ratios = [one / two for one, two in rounds]
    print(f"Spark ML took {statistics.median(ratios):.1f} times as long ({min(ratios):.1f} to {max(ratios):.1f})")


if __name__ == "__main__":
    main()

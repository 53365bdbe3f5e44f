"""Measure the cost of the last scoring steps by number of classes: temperature, burst aggregation, operating points.

    python benchmarks/classes.py [--images N]

Probabilities are random, so that only these steps are measured. Ten images form a burst, and all classes but one are
classes of interest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from datetime import datetime, timezone

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.classifiers.transformers import TemperatureScaling
from pipelines.config.loader import load_settings
from pipelines.evaluation.review_policy import OperatingPoint, ReviewPolicy
from pipelines.spark.session import get_session
from pipelines.stages.score.stage import score
from pipelines.tracking.model_version import ModelVersion

CLASSES = (5, 50, 500)


def make_images(spark: SparkSession, count: int, classes: int) -> DataFrame:
    """Return images whose `features` are their probabilities."""
    probabilities = np.random.default_rng(classes).dirichlet(np.full(classes, 0.1), count)
    rows = [(f"{n}.jpg", f"burst {n // 10}", row.tolist()) for n, row in enumerate(probabilities)]
    table = spark.createDataFrame(rows, "path string, burst_id string, features array<double>")
    nothing = F.lit(None).cast("string")
    columns = [F.col("path").alias("content_hash"), nothing.alias("failure"), nothing.alias("failure_detail")]
    rows = table.select("*", *columns).cache()
    rows.count()
    return rows


def make_version(classes: int) -> ModelVersion:
    names = [f"class {n}" for n in range(classes)]
    points = tuple(OperatingPoint(name, "image", 0.99, 0.5, 200, 200) for name in names[1:])
    tags = {
        "classes": json.dumps(names),
        "backbone": "drawn",
        "review_policy": ReviewPolicy(0.5, tuple(names[1:]), points).to_json(),
    }
    return ModelVersion("irbis", "1", "", 0, tags)


class FeaturesAsProbabilities(TemperatureScaling):
    """Temperature scaling that takes `features` as the probabilities."""

    def _transform(self, dataset: DataFrame) -> DataFrame:
        return super()._transform(dataset.withColumn("probability", array_to_vector("features")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    count = parser.parse_args().images
    with tempfile.TemporaryDirectory() as scratch:
        settings = load_settings(None, {"workspace": scratch})
        spark = get_session(settings)
        sets = {classes: make_images(spark, count, classes) for classes in CLASSES}
        seconds: dict[int, list[float]] = {classes: [] for classes in CLASSES}
        for number in range(6):
            for classes, rows in sets.items():
                start = time.perf_counter()
                model = PipelineModel([FeaturesAsProbabilities(1.5)])
                predictions = score(rows, model, make_version(classes), settings.score, datetime.now(timezone.utc))
                predictions.write.format("noop").mode("overwrite").save()
                if number:  # the first round warms up
                    seconds[classes].append(time.perf_counter() - start)
        print(f"{count:,} images\n\n| classes | s | |\n|---|---|---|")
        for classes, times in seconds.items():
            ratios = [one / other for one, other in zip(times, seconds[CLASSES[0]], strict=True)]
            spread = f"{statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f})"
            print(f"| {classes} | {spread} | {statistics.median(ratios):.1f} times |")


if __name__ == "__main__":
    main()

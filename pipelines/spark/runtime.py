"""Who has started this process's Spark."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the command asks who has started Spark before it loads it
    from pyspark.sql import SparkSession


def is_external_session() -> bool:
    """Say whether somebody else, Databricks or spark-submit, has started this process's Spark."""
    return "DATABRICKS_RUNTIME_VERSION" in os.environ or "PYSPARK_GATEWAY_PORT" in os.environ


def spark_home() -> Path:
    """Give the folder that SPARK_HOME names, else that of the Spark that came with pyspark."""
    if home := os.environ.get("SPARK_HOME"):
        return Path(home)
    import pyspark

    return Path(pyspark.__file__).parent


CODEGEN_MIN_ROWS = 50_000  # rows of images from which compiling a stage's queries costs less than it saves
CODEGEN_MIN_ROWS_BY_STAGE = {
    "ingest": 1_000_000,
    "featurize": 1_000_000,
}  # these look at what is there a few times, and at few columns
NO_CODEGEN = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}


def tune_codegen(spark: SparkSession, rows: int, stage: str) -> None:
    """Let a session that interprets its queries, as our local ones do, compile them for a stage with many rows."""
    if rows >= CODEGEN_MIN_ROWS_BY_STAGE.get(stage, CODEGEN_MIN_ROWS) and all(
        spark.conf.get(name, None) == value for name, value in NO_CODEGEN.items()
    ):
        spark.conf.set("spark.sql.codegen.wholeStage", "true")
        spark.conf.set("spark.sql.codegen.factoryMode", "FALLBACK")


@contextmanager
def sql_conf(spark: SparkSession, **values: Any) -> Iterator[None]:
    """Set run-time settings for one query (`__` stands for a dot), and put the old ones back."""
    names = {name.replace("__", "."): str(value) for name, value in values.items()}
    old = {name: spark.conf.get(name, None) for name in names}
    for name, value in names.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, previous in old.items():
            spark.conf.unset(name) if previous is None else spark.conf.set(name, previous)

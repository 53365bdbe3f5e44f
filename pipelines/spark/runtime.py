"""The Spark of this process: who started it, where it is, and how it runs queries."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # importing this module must not load Spark
    from pyspark.sql import SparkSession


def is_external_session() -> bool:
    """Return whether Databricks or spark-submit, rather than irbis, has started this process's Spark."""
    return "DATABRICKS_RUNTIME_VERSION" in os.environ or "PYSPARK_GATEWAY_PORT" in os.environ


def spark_home() -> Path:
    """Return SPARK_HOME if it is set, else the folder of the Spark bundled with pyspark."""
    if home := os.environ.get("SPARK_HOME"):
        return Path(home)
    import pyspark

    return Path(pyspark.__file__).parent


CODEGEN_MIN_ROWS = 50_000  # rows of images from which compiling a stage's queries pays off
CODEGEN_MIN_ROWS_BY_STAGE = {
    "ingest": 1_000_000,
    "featurize": 1_000_000,
}  # these read the table only a few times, and few of its columns
NO_CODEGEN = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}


def tune_codegen(spark: SparkSession, rows: int, stage: str) -> None:
    """Enable whole-stage code generation for a stage with many rows, if it is disabled, as in local sessions."""
    if rows >= CODEGEN_MIN_ROWS_BY_STAGE.get(stage, CODEGEN_MIN_ROWS) and all(
        spark.conf.get(name, None) == value for name, value in NO_CODEGEN.items()
    ):
        spark.conf.set("spark.sql.codegen.wholeStage", "true")
        spark.conf.set("spark.sql.codegen.factoryMode", "FALLBACK")


@contextmanager
def sql_conf(spark: SparkSession, **values: Any) -> Iterator[None]:
    """Set runtime settings in the block (`__` stands for a dot) and restore the old ones after it."""
    names = {name.replace("__", "."): str(value) for name, value in values.items()}
    old = {name: spark.conf.get(name, None) for name in names}
    for name, value in names.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, previous in old.items():
            spark.conf.unset(name) if previous is None else spark.conf.set(name, previous)

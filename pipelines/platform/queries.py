"""How Spark runs queries: settings for one of them, and for all that follow in a local session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyspark.sql import SparkSession

LARGE = 50_000  # rows of images from which compiling a stage's queries costs less than it saves
LARGER = {"ingest": 1_000_000, "featurize": 1_000_000}  # these look at what is there a few times, and at few columns
INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}


def fit_queries(spark: SparkSession, rows: int, stage: str) -> None:
    """Let a session that interprets its queries, as our local ones do, compile them for a stage with many rows."""
    if rows >= LARGER.get(stage, LARGE) and all(
        spark.conf.get(name, None) == value for name, value in INTERPRETED.items()
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

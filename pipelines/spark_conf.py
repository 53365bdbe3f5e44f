"""Set run-time settings of Spark for one query."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyspark.sql import SparkSession


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

"""Who has started this process's Spark."""

from __future__ import annotations

import os


def is_external_session() -> bool:
    """Say whether somebody else, Databricks or spark-submit, has started this process's Spark."""
    return "DATABRICKS_RUNTIME_VERSION" in os.environ or "PYSPARK_GATEWAY_PORT" in os.environ

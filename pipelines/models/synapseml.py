"""SynapseML beside us: how its LightGBM is had, and what its import changes in Spark ML."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from pyspark import SparkContext

from pipelines.errors import PlatformError
from pipelines.settings import SYNAPSEML, SYNAPSEML_PYTHON

PACKAGE_PREFIX = "pipelines.models."


def import_lightgbm() -> Any:
    """Give SynapseML's module of LightGBM. Raises PlatformError, with the remedy, unless Python and Spark have it."""
    if find_spec("synapse") is None:
        raise PlatformError(f"LightGBM is part of SynapseML, which is not installed. pip install {SYNAPSEML_PYTHON}")
    context = SparkContext._active_spark_context
    assert context is not None and context._jvm is not None
    found = context._jvm.com.microsoft.azure.synapse.ml.lightgbm.LightGBMClassifier
    if not callable(getattr(found, "load", None)) and type(found).__name__ == "JavaPackage":
        raise PlatformError(
            "LightGBM is part of SynapseML, whose jars this Spark session lacks (they are for Scala 2.12). "
            f"Start it with --packages {SYNAPSEML}, or here with --set train.classifier=lightgbm."
        )
    module = import_module("synapse.ml.lightgbm")
    allow_custom_stages()
    return module


def allow_custom_stages() -> None:
    """Let SynapseML, where anybody has imported it, load the steps of our pipelines too.

    Its import replaces Spark ML's reader by one that takes classes of pyspark and synapse.ml alone, and it has no
    setting for others: a model that was saved before would be refused.
    """
    safe_import: Any = sys.modules.get("synapse.ml.core.serialize._safe_import")
    allowed = getattr(safe_import, "_ALLOWED_MODULE_PREFIXES", None)
    if allowed and PACKAGE_PREFIX not in allowed:
        safe_import._ALLOWED_MODULE_PREFIXES = (*allowed, PACKAGE_PREFIX)

"""SynapseML beside us: what it changes in Spark ML, and what we need of it."""

from __future__ import annotations

import sys
from typing import Any

OWN = "pipelines.models."


def let_own_steps_load() -> None:
    """Let SynapseML, where it has been imported, load the steps of our pipelines too.

    Its import replaces Spark ML's reader by one that takes classes of pyspark and synapse.ml alone, and it has no
    setting for others: a model that was saved before would be refused.
    """
    safe_import: Any = sys.modules.get("synapse.ml.core.serialize._safe_import")
    allowed = getattr(safe_import, "_ALLOWED_MODULE_PREFIXES", None)
    if allowed and OWN not in allowed:
        safe_import._ALLOWED_MODULE_PREFIXES = (*allowed, OWN)

"""Say where the Spark of this machine lies."""

from __future__ import annotations

import os
from pathlib import Path


def spark_home() -> Path:
    """Give the folder that SPARK_HOME names, else that of the Spark that came with pyspark."""
    if home := os.environ.get("SPARK_HOME"):
        return Path(home)
    import pyspark

    return Path(pyspark.__file__).parent

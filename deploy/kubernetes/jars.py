"""Resolve the jars of Delta and Azure storage into the folder of Spark's jars. Usage: python jars.py FOLDER."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path


def lacking(resolved: Iterable[Path], there: Iterable[Path]) -> list[Path]:
    """Return the resolved jars of which Spark has no version of its own: two versions of one jar conflict."""
    known = {_artifact(jar.name) for jar in there}
    # Ivy writes the group before the artifact: org.apache.hadoop_hadoop-azure-3.3.4.jar
    return [jar for jar in resolved if _artifact(jar.name.partition("_")[2]) not in known]


def _artifact(name: str) -> str:
    return re.split(r"-(?=\d)", name, maxsplit=1)[0]


def main(folder: Path) -> None:
    """Resolve the jars with Spark, and copy them to `folder`."""
    from pyspark.sql import SparkSession

    from pipelines.azure.hadoop import EXCLUDED, EXTRA_JARS, hadoop_version

    delta = f"io.delta:delta-spark_2.12:{importlib.metadata.version('delta-spark')}"
    packages = [delta, f"org.apache.hadoop:hadoop-azure:{hadoop_version()}", *EXTRA_JARS]
    with tempfile.TemporaryDirectory() as ivy:
        builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
        builder = builder.config("spark.jars.ivy", ivy).config("spark.jars.excludes", EXCLUDED)
        builder.config("spark.jars.packages", ",".join(packages)).getOrCreate().stop()
        jars = lacking(sorted(Path(ivy, "jars").glob("*.jar")), list(folder.glob("*.jar")))
        for jar in jars:
            shutil.copy(jar, folder)
            print(f"jars: {jar.name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

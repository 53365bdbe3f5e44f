"""Files of Spark settings, and the names that the installed Spark knows: the constants of its compiled classes."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pyspark

CLASSES = {
    "spark-core": [
        "org/apache/spark/internal/config/package$.class",
        "org/apache/spark/SparkConf$.class",  # names of earlier versions
    ],
    "spark-catalyst": [
        "org/apache/spark/sql/internal/SQLConf$.class",
        "org/apache/spark/sql/internal/StaticSQLConf$.class",
    ],
    "spark-yarn": ["org/apache/spark/deploy/yarn/config/package$.class"],
    "spark-kubernetes": ["org/apache/spark/deploy/k8s/Config$.class"],
}
FREE = ("spark.hadoop.", "spark.executorEnv.", "spark.yarn.appMasterEnv.")  # what follows is not Spark's


def read_settings(path: Path) -> dict[str, str]:
    """Return {setting: value} of a file for `spark-submit --properties-file`, in which no setting stands twice."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = [line.split(None, 1) for line in lines if line.strip() and not line.startswith("#")]
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)


def unknown(names: Iterable[str]) -> list[str]:
    """Return the names that Spark does not know; volumes and GPUs have free words in the middle of theirs."""
    return [name for name in names if not name.startswith(FREE) and not _is_known(name)]


def _is_known(name: str) -> bool:
    plain = re.sub(r"\.volumes\.persistentVolumeClaim\.\w+\..*|\.resource\.gpu\.\w+$", "", name)
    if plain != name:
        return True
    # Some are written in two pieces: spark.kubernetes.authenticate.driver and serviceAccountName, spark.sql.catalog and
    # spark_catalog.
    pieces = [(name[:place], name[place + 1 :]) for place, sign in enumerate(name) if sign == "."]
    known = _constants()
    return name in known or any(before in known and after in known for before, after in pieces)


@cache
def _constants() -> frozenset[str]:
    # The last stands in a class of its own from 3.5 on.
    found: set[str] = {"spark.sql.catalog", "spark_catalog", "spark.sql.session.timeZone"}
    for start, classes in CLASSES.items():
        (jar,) = (Path(pyspark.__path__[0]) / "jars").glob(f"{start}_2.12-*.jar")
        with zipfile.ZipFile(jar) as archive:
            content = b"".join(archive.read(each) for each in classes)
        found |= {each.decode().strip(".") for each in re.findall(rb"[A-Za-z.]{4,}", content)}
    return frozenset(found)

"""Sources of images under names: an address with its rules for labels and stations, registered once."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.sources.labels import is_labels_file, read_label_table
from pipelines.sources.registry import Source
from pipelines.workspace.tables import Tables, count_failures

NAME = re.compile(r"[\w.-]+")
STORED_SETTINGS = (
    "images",
    "labels",
    "station",
    "extensions",
    "columns",
)  # what a name stands for, each a setting of `sources`


def register(tables: Tables, name: str, settings: Settings, source: Source) -> bool:
    """Store settings.sources under a name; give whether the name is new. Files are noted with their whole path.

    Raises DataError for a name that commands would not take, an address with a signature, or a file of labels that
    cannot be read.
    """
    if not NAME.fullmatch(name):
        raise DataError(f"'{name}' is no name for a dataset. Use letters, digits, `_`, `-` and `.`.")
    rules = settings.sources
    images, labels = str(rules.images), rules.labels
    if "?" in images and "://" in images:
        raise DataError("The address holds a signature, which would be stored. Give it as azure.sas.")
    if is_labels_file(labels):
        read_label_table(labels, source.read_file(labels) if "://" in labels else None, rules.columns)
        labels = labels if "://" in labels else str(Path(labels).expanduser().absolute())
    if "://" not in images:
        images = str(Path(images).expanduser().absolute())
    is_new = find_dataset(tables, name) is None
    now = datetime.now(timezone.utc)
    row = (name, images, labels, rules.station, rules.extensions, source.root, now, rules.columns)
    tables.upsert("datasets", tables.spark.createDataFrame([row], tables.read("datasets").schema), ["name"])
    return is_new


def find_dataset(tables: Tables, name: str) -> Row | None:
    dataset: Row | None = tables.read("datasets").where(F.col("name") == name).first()
    return dataset


def require_dataset(tables: Tables, name: str) -> Row:
    """Give the dataset, or raise DataError with the names that there are."""
    dataset = find_dataset(tables, name)
    if dataset is None:
        names = [row["name"] for row in tables.read("datasets").orderBy("name").select("name").collect()]
        registered = f"Known: {', '.join(names)}." if names else "None is registered yet."
        raise DataError(
            f"There is no dataset '{name}'. {registered} Register it: irbis datasets add {name} --images DIR."
        )
    return dataset


def remove(tables: Tables, name: str) -> None:
    """Forget the name. Its images stay in the tables, and where they are."""
    require_dataset(tables, name)
    tables.delete("datasets", F.col("name") == name)


def summarize_datasets(tables: Tables) -> list[dict[str, Any]]:
    """Give name, images, images and last_ingest of every dataset, by name."""
    datasets = tables.read("datasets").alias("d")
    images = tables.latest_images().select("path", "ingested_at").alias("i")
    joined = datasets.join(images, F.col("i.path").startswith(F.col("d.root")), "left")
    counted = joined.groupBy("d.name", "d.images").agg(
        F.count("i.path").alias("images"), F.max("i.ingested_at").alias("last_ingest")
    )
    return [row.asDict() for row in counted.orderBy("name").collect()]


def describe(tables: Tables, name: str) -> dict[str, Any]:
    """Give what is registered, and of the images ingested from there: counts by label, bytes, failures and dates."""
    dataset = require_dataset(tables, name)
    rows = read_images_below(tables, dataset["root"])
    images, size, first, last, ingested = rows.agg(
        F.count("*"), F.sum("size"), F.min("captured_at"), F.max("captured_at"), F.max("ingested_at")
    ).first()
    counted = rows.groupBy("label").count().orderBy(F.desc("count"), "label").collect()
    return {
        **dataset.asDict(),
        "images": images,
        "bytes": size or 0,
        "labels_found": {row["label"]: row["count"] for row in counted if row["label"] is not None},
        "unlabelled": sum(row["count"] for row in counted if row["label"] is None),
        "failures": count_failures(rows),
        "captured": [first, last],
        "last_ingest": ingested,
    }


def read_images_below(tables: Tables, root: str) -> DataFrame:
    """Give the newest row of every image below a root."""
    return tables.latest_images().where(F.col("path").startswith(root))

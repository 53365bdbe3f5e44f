"""Datasets: named sources of images, with their rules for labels and stations."""

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
from pipelines.workspace.labels import FROM_PERSON, labelled_by_people
from pipelines.workspace.tables import Tables, count_failures

NAME = re.compile(r"[\w.-]+")
STORED_SETTINGS = ("images", "labels", "station", "extensions", "columns")  # each a setting of `sources`


def register(tables: Tables, name: str, settings: Settings, source: Source) -> bool:
    """Store settings.sources under a name and return whether the name is new. Local paths are stored as absolute.

    Raises DataError for an invalid name, a URI with a SAS, or a labels file that cannot be read.
    """
    if not NAME.fullmatch(name):
        raise DataError(f"'{name}' is not a valid dataset name. Use letters, digits, `_`, `-` and `.`.")
    rules = settings.sources
    images, labels = str(rules.images), rules.labels
    if "?" in images and "://" in images:
        raise DataError("The URI contains a SAS, which would be stored. Set azure.sas instead.")
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
    """Return the row of a dataset; null if the name is not registered."""
    dataset: Row | None = tables.read("datasets").where(F.col("name") == name).first()
    return dataset


def require_dataset(tables: Tables, name: str) -> Row:
    """Return the dataset, or raise DataError with the registered names."""
    dataset = find_dataset(tables, name)
    if dataset is None:
        names = [row["name"] for row in tables.read("datasets").orderBy("name").select("name").collect()]
        registered = f"Known: {', '.join(names)}." if names else "No dataset is registered yet."
        raise DataError(
            f"There is no dataset '{name}'. {registered} Register it: irbis datasets add {name} --images DIR."
        )
    return dataset


def remove(tables: Tables, name: str) -> None:
    """Remove the name. Its images stay in the tables and in the source."""
    require_dataset(tables, name)
    tables.delete("datasets", F.col("name") == name)


def summarize_datasets(tables: Tables) -> list[dict[str, Any]]:
    """Return name, images (URI), image_count and last_ingest of every dataset, sorted by name."""
    datasets = tables.read("datasets").alias("d")
    images = tables.latest_images().select("path", "ingested_at").alias("i")
    joined = datasets.join(images, F.col("i.path").startswith(F.col("d.root")), "left")
    counted = joined.groupBy("d.name", "d.images").agg(
        F.count("i.path").alias("image_count"), F.max("i.ingested_at").alias("last_ingest")
    )
    return [row.asDict() for row in counted.orderBy("name").collect()]


def describe(tables: Tables, name: str, label_case: str = "keep") -> dict[str, Any]:
    """Return the registered settings and, of the ingested images, counts by label, bytes, failures and dates.

    `labels_found` and `unlabelled` count the labels of the source, `labels_in_force` those that training uses: it has
    the decisions of people too, of which `decided_by_people` are about these images.
    """
    dataset = require_dataset(tables, name)
    rows = read_images_below(tables, dataset["root"])
    images, size, first, last, ingested = rows.agg(
        F.count("*"), F.sum("size"), F.min("captured_at"), F.max("captured_at"), F.max("ingested_at")
    ).first()
    labels, unlabelled = _count_labels(rows)
    current = labelled_by_people(tables, rows, label_case)
    in_force, _ = _count_labels(current)
    return {
        **dataset.asDict(),
        "image_count": images,
        "bytes": size or 0,
        "labels_found": labels,
        "unlabelled": unlabelled,
        "labels_in_force": in_force,
        "decided_by_people": current.where(F.col("label_source") == FROM_PERSON).count(),
        "failures": count_failures(rows),
        "captured": [first, last],
        "last_ingest": ingested,
    }


def _count_labels(rows: DataFrame) -> tuple[dict[str, int], int]:
    """Return the number of images by label, the most frequent first, and of those without one."""
    counted = rows.groupBy("label").count().orderBy(F.desc("count"), "label").collect()
    counts = {row["label"]: row["count"] for row in counted}
    unlabelled = counts.pop(None, 0)
    return counts, unlabelled


def read_images_below(tables: Tables, root: str) -> DataFrame:
    """Return the newest row of every image below a root."""
    return tables.latest_images().where(F.col("path").startswith(root))

"""Datasets: register sources of images under names, list them, and say what is known of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyspark.sql import SparkSession

from pipelines.config.loader import SourcedValue
from pipelines.config.settings import Settings
from pipelines.sources.datasets import STORED_SETTINGS, describe, register, require_dataset, summarize_datasets
from pipelines.sources.datasets import remove as remove_dataset
from pipelines.sources.registry import open_source
from pipelines.workspace.tables import Tables


def apply_dataset(
    origins: Mapping[str, SourcedValue], spark: SparkSession, settings: Settings
) -> dict[str, SourcedValue]:
    """Give the settings' origins with what the name in sources.dataset stands for; what the user set stays."""
    name = str(settings.sources.dataset)
    dataset = require_dataset(Tables.of(spark, settings), name)
    known = [rule for rule in STORED_SETTINGS if dataset[rule] is not None]  # an earlier version stored no columns
    registered = {f"sources.{rule}": SourcedValue(dataset[rule], f"dataset {name}") for rule in known}
    return {
        key: registered[key] if key in registered and _gives_way(key, origin) else origin
        for key, origin in origins.items()
    }


def _gives_way(key: str, origin: SourcedValue) -> bool:
    return key == "sources.images" or origin.source == "conf/base.yaml"


def add(spark: SparkSession, settings: Settings, name: str) -> str:
    """Register settings.sources under a name; give what to say."""
    source = open_source(settings)
    is_new = register(Tables.of(spark, settings), name, settings, source)
    what = "registered" if is_new else "registered anew"
    return f"datasets: {name} {what}: {source.root}; read it with `irbis run --dataset {name}`"


def remove(spark: SparkSession, settings: Settings, name: str) -> str:
    remove_dataset(Tables.of(spark, settings), name)
    return f"datasets: {name} is forgotten; its images stay in the tables, and where they are"


def list_datasets(spark: SparkSession, settings: Settings) -> list[dict[str, Any]]:
    return summarize_datasets(Tables.of(spark, settings))


def show_dataset(spark: SparkSession, settings: Settings, name: str) -> dict[str, Any]:
    return describe(Tables.of(spark, settings), name)


def as_table(datasets: list[dict[str, Any]]) -> str:
    """Give a line for each dataset."""
    if not datasets:
        return "No dataset is registered yet: irbis datasets add NAME --images DIR"
    rows = [("name", "images", "last ingest", "source")]
    rows += [(each["name"], f"{each['image_count']:,}", _moment(each["last_ingest"]), each["images"]) for each in datasets]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    aligned = ((row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].ljust(widths[2]), row[3]) for row in rows)
    return "\n".join("  ".join(row) for row in aligned)


def as_text(dataset: dict[str, Any]) -> str:
    """Give what is known of one dataset as a few aligned lines."""
    first, last = dataset["captured"]
    lines = [
        ("dataset", dataset["name"]),
        ("source", dataset["images"]),
        ("labels", dataset["labels"]),
        ("station", dataset["station"]),
        ("registered", _moment(dataset["registered_at"])),
        ("last ingest", _moment(dataset["last_ingest"])),
        ("captured", f"{_moment(first)} to {_moment(last)}" if first else "no times known"),
        ("images", f"{dataset['image_count']:,}; {dataset['bytes'] / 2**20:,.1f} MB"),
    ]
    lines += [("", f"  {count:,} {label}") for label, count in dataset["labels_found"].items()]
    lines += [("", f"  {dataset['unlabelled']:,} without a label")] if dataset["unlabelled"] else []
    lines += [("failures", f"{count:,} {failure}") for failure, count in dataset["failures"].items()]
    return "\n".join(f"{name:12} {text}" for name, text in lines)


def _moment(time: Any) -> str:
    return f"{time:%Y-%m-%d %H:%M}" if time else "never"

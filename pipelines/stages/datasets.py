"""Datasets: register image sources under a name, list them, and describe one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyspark.sql import SparkSession

from pipelines.config.loader import SourcedValue
from pipelines.config.settings import Settings
from pipelines.formatting import pluralize
from pipelines.sources.datasets import STORED_SETTINGS, describe, register, require_dataset, summarize_datasets
from pipelines.sources.datasets import remove as remove_dataset
from pipelines.sources.registry import open_source
from pipelines.workspace.journals import merge_journals
from pipelines.workspace.tables import Tables


def apply_dataset(
    origins: Mapping[str, SourcedValue], spark: SparkSession, settings: Settings
) -> dict[str, SourcedValue]:
    """Return the settings' origins with those of the dataset in sources.dataset; values that the user set are kept."""
    name = str(settings.sources.dataset)
    dataset = require_dataset(Tables.of(spark, settings), name)
    stored = [rule for rule in STORED_SETTINGS if dataset[rule] is not None]  # an earlier version stored no columns
    registered = {f"sources.{rule}": SourcedValue(dataset[rule], f"dataset {name}") for rule in stored}
    return {
        key: registered[key] if key in registered and _is_overridable(key, origin) else origin
        for key, origin in origins.items()
    }


def _is_overridable(key: str, origin: SourcedValue) -> bool:
    return key == "sources.images" or origin.source == "conf/base.yaml"


def add(spark: SparkSession, settings: Settings, name: str) -> str:
    """Register settings.sources under a name; return the command's output."""
    source = open_source(settings)
    is_new = register(Tables.of(spark, settings), name, settings, source)
    action = "registered" if is_new else "updated"
    return f"datasets: {name} {action}: {source.root}; read it with `irbis run --dataset {name}`"


def remove(spark: SparkSession, settings: Settings, name: str) -> str:
    remove_dataset(Tables.of(spark, settings), name)
    return f"datasets: {name} removed; its images are kept in the tables and at their source"


def list_datasets(spark: SparkSession, settings: Settings) -> list[dict[str, Any]]:
    return summarize_datasets(Tables.of(spark, settings))


def show_dataset(spark: SparkSession, settings: Settings, name: str) -> dict[str, Any]:
    tables = Tables.of(spark, settings)
    merge_journals(tables)
    return describe(tables, name, settings.sources.label_case)


def as_table(datasets: list[dict[str, Any]]) -> str:
    """Return a table with a line for each dataset."""
    if not datasets:
        return "No dataset is registered yet: irbis datasets add NAME --images DIR"
    rows = [("name", "images", "last ingest", "source")]
    rows += [
        (each["name"], f"{each['image_count']:,}", _format_time(each["last_ingest"]), each["images"])
        for each in datasets
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    aligned = ((row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].ljust(widths[2]), row[3]) for row in rows)
    return "\n".join("  ".join(row) for row in aligned)


def as_text(dataset: dict[str, Any]) -> str:
    """Return the properties of one dataset as aligned lines."""
    first, last = dataset["captured"]
    lines = [
        ("dataset", dataset["name"]),
        ("source", dataset["images"]),
        ("labels", dataset["labels"]),
        ("station", dataset["station"]),
        ("registered", _format_time(dataset["registered_at"])),
        ("last ingest", _format_time(dataset["last_ingest"])),
        ("captured", f"{_format_time(first)} to {_format_time(last)}" if first else "no times known"),
        ("images", f"{dataset['image_count']:,}; {dataset['bytes'] / 2**20:,.1f} MB"),
    ]
    lines += [("", f"  {count:,} {label}") for label, count in dataset["labels_found"].items()]
    lines += [("", f"  {dataset['unlabelled']:,} without a label")] if dataset["unlabelled"] else []
    if decided := dataset["decided_by_people"]:
        lines.append(("in force", f"with the decisions of people about {pluralize(decided, 'image')}"))
        lines += [("", f"  {count:,} {label}") for label, count in dataset["labels_in_force"].items()]
        if without := dataset["image_count"] - sum(dataset["labels_in_force"].values()):
            lines.append(("", f"  {without:,} without a label"))
    lines += [("failures", f"{count:,} {failure}") for failure, count in dataset["failures"].items()]
    return "\n".join(f"{name:12} {text}" for name, text in lines)


def _format_time(time: Any) -> str:
    return f"{time:%Y-%m-%d %H:%M}" if time else "never"

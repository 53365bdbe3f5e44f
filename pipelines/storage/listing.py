"""List a source into a table of names, with what labels and folders say about each picture."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import reduce
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.azure_address import is_azure, parse_place
from pipelines.settings import Sources
from pipelines.storage.label_matching import match_labels
from pipelines.storage.label_tables import ALIASES
from pipelines.storage.labels import is_file, normalise, read_label_table
from pipelines.storage.labels_beside import find_label_files
from pipelines.storage.path_rules import path_rule, suffix_of, wanted_suffixes
from pipelines.storage.sources import Source
from pipelines.storage.sources.folder import Folder
from pipelines.storage.tables import Tables

NAMES = "path string, size long, modified_at timestamp, etag string, match_path string, folder string, place string"
PORTION = 100_000  # names that are Python objects at once
TOLD = [column for column in ALIASES if column != "path"]


@dataclass(frozen=True)
class Listing:
    """Hold the names found and what is known of them.

    `names`: path, size, modified_at, etag, label, station, camera, captured_at, sequence, and says_label:
    whether this listing has a say in the label (else what is stored stays). `ignored` counts other files by
    suffix; `problems` and `notes` are sentences.
    """

    names: DataFrame
    count: int
    ignored: Counter[str]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_whole: bool = True  # else what is not named may still be there


def list_names(tables: Tables, source: Source, rules: Sources) -> Listing:
    """List every picture of the source. Raises DataError if labels and pictures have nothing in common.

    The plots that irbis itself put into the workspace are left out. Names go to Spark in portions: of a million of
    them the driver holds no more than the paths, and these only where a labels file asks for them.
    """
    wanted = wanted_suffixes(rules)
    folder, place = path_rule(rules.labels), path_rule(rules.station)
    own = _own_plots(tables.workspace)
    has_file = is_file(rules.labels)
    ignored: Counter[str] = Counter()
    rows: list[tuple[Any, ...]] = []
    portions: list[DataFrame] = []
    paths: list[str] = []
    count = unlabelled = 0
    for blob in source.list():
        suffix = suffix_of(blob.relative_path)
        if suffix not in wanted:
            ignored[suffix] += 1
        elif not blob.path.startswith(own):
            match = normalise(blob.relative_path)
            rows.append((blob.path, blob.size, blob.modified_at, blob.etag, match, folder(match), place(match)))
            count += 1
            unlabelled += rows[-1][5] is None
            if has_file:
                paths.append(match)
            if len(rows) == PORTION:
                portions.append(tables.settled(_frame(tables.spark, rows)))
                rows = []
    if rows or not portions:
        portions.append(_frame(tables.spark, rows))
    names, notes = _with_labels(reduce(DataFrame.unionAll, portions), paths, rules, source)
    notes += _of_folders(rules, source, unlabelled, count)
    names = names.withColumn("station", F.coalesce("station", "place"))
    names = names.drop("match_path", "folder", "place")
    return Listing(names, count, ignored, tuple(source.problems), tuple(notes))


def _own_plots(workspace: str) -> str:
    """Give the beginning of the paths under which a source would list what MLflow keeps for us."""
    if is_azure(workspace):
        place, _ = parse_place(workspace)
        return f"{place.root}{place.prefix}artifacts/"
    return f"{workspace if '://' in workspace else f'file://{workspace}'}/artifacts/"


def _frame(spark: SparkSession, rows: list[tuple[Any, ...]]) -> DataFrame:
    found = pd.DataFrame(rows, columns=[part.split()[0] for part in NAMES.split(", ")])
    return spark.createDataFrame(found, NAMES) if rows else spark.createDataFrame([], NAMES)


def _with_labels(names: DataFrame, paths: list[str], rules: Sources, source: Source) -> tuple[DataFrame, list[str]]:
    """Add the TOLD columns and says_label, from a file, from folders or from nothing."""
    notes: list[str] = []
    rule = rules.labels
    if not is_file(rule):
        told: dict[str, Column] = {} if rule == "none" else {"label": F.col("folder")}
    else:
        content = source.read_file(rule) if "://" in rule else None
        table, notes = match_labels(read_label_table(rule, content, rules.columns), paths, source.root)
        told = {column: F.col(column) for column in TOLD if column in table}
        types = ", ".join(f"{c} {'timestamp' if c == 'captured_at' else 'string'}" for c in table.columns)
        table = table.astype(object).where(table.notna(), None)
        labels = names.sparkSession.createDataFrame(table, types)
        names = names.join(labels.withColumnRenamed("path", "match_path"), "match_path", "left")
    for column in TOLD:
        kind = "timestamp" if column == "captured_at" else "string"
        names = names.withColumn(column, told.get(column, F.lit(None)).cast(kind))
    return names.withColumn("says_label", F.lit("label" in told)), notes


def _of_folders(rules: Sources, source: Source, unlabelled: int, count: int) -> list[str]:
    """Return what a person should know where labels are the names of folders."""
    if is_file(rules.labels) or rules.labels == "none":
        return []
    notes = []
    if 0 < unlabelled < count:
        notes.append(
            f"{unlabelled:,} of {count:,} images have no label: they lie in no folder that sources.labels = "
            f"{rules.labels} names."
        )
    if isinstance(source, Folder):
        notes += [
            f"{name} is there and is not used: labels are the names of folders (sources.labels = {rules.labels}). To "
            f"use it: --labels {source.folder}/{name}."
            for name in find_label_files(source.folder, rules.columns)
        ]
    return notes

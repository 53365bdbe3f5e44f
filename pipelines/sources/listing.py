"""List the images of a source, with their labels, stations and times from files and folder names."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timezone
from functools import reduce
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.config.settings import Sources
from pipelines.label_text import SPELLING_REMEDY, drop_unknown_name, require_one_spelling
from pipelines.sources.find_labels import find_label_files, labels_path_below
from pipelines.sources.label_matching import match_labels
from pipelines.sources.label_tables import ALIASES
from pipelines.sources.labels import is_labels_file, normalize_path, read_label_table
from pipelines.sources.name_hints import NameHints
from pipelines.sources.own_files import OwnFiles
from pipelines.sources.path_rules import allowed_suffixes, compile_path_rule, file_series, time_in_name
from pipelines.sources.registry import Source
from pipelines.sources.skipped_files import SkippedFiles
from pipelines.sources.stores.folder import Folder
from pipelines.workspace.tables import Tables

LISTING_DDL = (
    "path string, size long, modified_at timestamp, etag string, match_path string, folder_label string, "
    "folder_station string, named_time timestamp, file_series string, file_number long"
)
CHUNK_SIZE = 100_000  # files that are Python objects at once
LABEL_COLUMNS = [column for column in ALIASES if column != "path"]


@dataclass(frozen=True)
class Listing:
    """The images found in a source.

    `files`: path, size, modified_at, etag, label, station, camera, captured_at, sequence, named_time, file_series,
    file_number, and says_label: whether this listing determines the label (otherwise the stored label stays).
    `skipped_files` counts all other files; `problems` and `notes` are sentences.
    """

    files: DataFrame
    count: int
    skipped_files: SkippedFiles
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def list_images(tables: Tables, source: Source, rules: Sources) -> Listing:
    """List every image of the source. Raises DataError if a labels file matches none of the images.

    Files that irbis wrote to a workspace below the source are left out. Files are passed to Spark in chunks: of a
    million files the driver keeps only the paths, and these only for a labels file.
    """
    skipped, own_files = SkippedFiles(), OwnFiles(tables.workspace, source.root)
    read_label, read_station = compile_path_rule(rules.labels), compile_path_rule(rules.station)
    is_lower = rules.label_case == "lower"
    labels: Counter[str | None] = Counter()
    has_file, hints = is_labels_file(rules.labels), NameHints(rules)
    label_files = labels_path_below(rules.labels, source.root)
    rows: list[tuple[Any, ...]] = []
    chunks: list[DataFrame] = []
    paths: list[str] = []
    count = 0
    for file in skipped.select_images(source.list(), allowed_suffixes(rules), source.peek, own_files, label_files):
        match = normalize_path(file.relative_path)
        label = read_label(match)
        label = label.lower() if label and is_lower else label
        labels[label] += 1
        station = drop_unknown_name(read_station(match))
        hints.add(match, label, station)
        series = file_series(match, rules.labels)
        named_time = moment.replace(tzinfo=timezone.utc) if (moment := time_in_name(match)) else None
        rows.append((file.path, file.size, file.modified_at, file.etag, match, label, station, named_time, *series))
        count += 1
        if has_file:
            paths.append(match)
        if len(rows) == CHUNK_SIZE:
            chunks.append(tables.materialize(_to_frame(tables.spark, rows)))
            rows = []
    if rows or not chunks:
        chunks.append(_to_frame(tables.spark, rows))
    names, notes = _add_labels(reduce(DataFrame.unionAll, chunks), paths, rules, source, labels, hints.stations)
    notes += [*_note_folder_labels(rules, source, labels[None], count), *hints.notes(labels)]
    if rules.label_case == "refuse":
        require_one_spelling({label: n for label, n in labels.items() if label is not None}, SPELLING_REMEDY)
    names = names.withColumn("station", F.coalesce("station", "folder_station"))
    names = names.drop("match_path", "folder_label", "folder_station")
    return Listing(names, count, skipped, tuple(source.problems), tuple(notes))


def _to_frame(spark: SparkSession, rows: list[tuple[Any, ...]]) -> DataFrame:
    frame = pd.DataFrame(rows, columns=[part.split()[0] for part in LISTING_DDL.split(", ")])
    # As Python's own integers and None: pandas would make them floats with NaN, which Spark without Arrow refuses.
    frame["file_number"] = pd.Series([row[-1] for row in rows], dtype=object)
    return spark.createDataFrame(frame, LISTING_DDL) if rows else spark.createDataFrame([], LISTING_DDL)


def _add_labels(
    names: DataFrame,
    paths: list[str],
    rules: Sources,
    source: Source,
    labels: Counter[str | None],
    stations: Counter[str],
) -> tuple[DataFrame, list[str]]:
    """Add LABEL_COLUMNS and says_label, from a file or folders; add a file's counts to `labels` and `stations`."""
    rule, notes = rules.labels, list[str]()
    if not is_labels_file(rule):
        columns: dict[str, Column] = {} if rule == "none" else {"label": F.col("folder_label")}
    else:
        content = source.read_file(rule) if "://" in rule else None
        table, notes = match_labels(read_label_table(rule, content, rules.columns), paths, source.root)
        if rules.label_case == "lower":
            table["label"] = table["label"].str.lower()
        labels.update(table["label"].dropna())
        if "station" in table:
            stations.update(table["station"].dropna())
        columns = {column: F.col(column) for column in LABEL_COLUMNS if column in table}
        types = ", ".join(f"{c} {'timestamp' if c == 'captured_at' else 'string'}" for c in table.columns)
        table = table.astype(object).where(table.notna(), None)
        rows = names.sparkSession.createDataFrame(table, types)
        names = names.join(rows.withColumnRenamed("path", "match_path"), "match_path", "left")
    for column in LABEL_COLUMNS:
        type_name = "timestamp" if column == "captured_at" else "string"
        names = names.withColumn(column, columns.get(column, F.lit(None)).cast(type_name))
    return names.withColumn("says_label", F.lit("label" in columns)), notes


def _note_folder_labels(rules: Sources, source: Source, unlabelled: int, count: int) -> list[str]:
    """Return notes on labels from folder names: unlabelled images and unused labels files."""
    if is_labels_file(rules.labels) or rules.labels == "none":
        return []
    notes = []
    if 0 < unlabelled < count:
        notes.append(
            f"{unlabelled:,} of {count:,} images have no label: they are not in a folder that sources.labels = "
            f"{rules.labels} selects."
        )
    if isinstance(source, Folder):
        notes += [
            f"{name} is not used: labels are taken from folder names (sources.labels = {rules.labels}). To "
            f"use it: --labels {source.folder}/{name}."
            for name in find_label_files(source.folder, rules.columns)
        ]
    return notes

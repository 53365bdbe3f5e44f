"""List a source into a table of names, with what labels and folders say about each picture."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.errors import DataError
from pipelines.storage.labels import ALIASES, normalise, read_labels
from pipelines.storage.sources import Source

NAMES = "path string, relative_path string, match_path string, size long, modified_at timestamp, etag string"
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


def list_names(spark: SparkSession, source: Source, *, labels: str, station: str, extensions: list[str]) -> Listing:
    """List every picture of the source. Raises DataError if labels and pictures have nothing in common."""
    wanted = {extension.lower().lstrip(".") for extension in extensions}
    ignored: Counter[str] = Counter()
    rows = []
    for blob in source.list():
        suffix = blob.relative_path.rpartition("/")[2].rpartition(".")[2].lower()
        if suffix in wanted:
            rows.append((blob.path, blob.relative_path, normalise(blob.relative_path), *blob[2:]))
        else:
            ignored[suffix] += 1
    found = pd.DataFrame(rows, columns=[part.split()[0] for part in NAMES.split(", ")])
    names = spark.createDataFrame(found, NAMES) if rows else spark.createDataFrame([], NAMES)
    names, notes = _with_labels(names, found["match_path"], labels)
    names = _with_station(names, station).drop("relative_path", "match_path")
    return Listing(names, len(rows), ignored, tuple(getattr(source, "problems", ())), tuple(notes))


def _with_labels(names: DataFrame, paths: pd.Series, rule: str) -> tuple[DataFrame, list[str]]:
    """Add the TOLD columns and says_label, from a file, from folders or from nothing."""
    notes: list[str] = []
    if rule == "none" or rule == "folder" or rule.startswith("folder:"):
        told: dict[str, Column] = {} if rule == "none" else {"label": _folder(rule)}
    else:
        table, notes = _matched(read_labels(rule), paths, rule)
        told = {column: F.col(column) for column in TOLD if column in table}
        types = ", ".join(f"{c} {'timestamp' if c == 'captured_at' else 'string'}" for c in table.columns)
        table = table.astype(object).where(table.notna(), None)
        labels = names.sparkSession.createDataFrame(table, types)
        names = names.join(labels.withColumnRenamed("path", "match_path"), "match_path", "left")
    for column in TOLD:
        kind = "timestamp" if column == "captured_at" else "string"
        names = names.withColumn(column, told.get(column, F.lit(None)).cast(kind))
    return names.withColumn("says_label", F.lit("label" in told)), notes


def _matched(table: pd.DataFrame, paths: pd.Series, file: str) -> tuple[pd.DataFrame, list[str]]:
    """Keep the labels whose path is below the source, written in full or as the bare file name."""
    known = set(paths)
    if not table["path"].isin(known).any():
        bare = paths.str.rpartition("/")[2] if len(paths) else paths
        unique = dict(zip(bare, paths, strict=True)) if bare.is_unique else {}
        ends = table["path"].map(lambda path: _below(path, known) or unique.get(path))
        table = table.assign(path=ends.where(ends.notna(), table["path"]))
    missing = table["path"][~table["path"].isin(known)]
    if len(table) and len(missing) == len(table) and known:
        raise DataError(
            f"{file}: none of its {len(table):,} paths is among the {len(known):,} pictures found, first "
            f"{missing.iloc[0]!r}. Paths are those below the folder of pictures, such as {min(known)!r}."
        )
    notes = []
    if len(missing):
        notes.append(f"{file} names {len(missing):,} pictures that are not there, first {missing.iloc[0]}.")
    return table[table["path"].isin(known)], notes


def _below(path: str, known: set[str]) -> str | None:
    """Give the longest end of a path that is a known one: labels are often written from a folder further up."""
    parts = [part for part in path.split("/") if part]
    return next((end for i in range(len(parts)) if (end := "/".join(parts[i:])) in known), None)


def _with_station(names: DataFrame, rule: str) -> DataFrame:
    """Fill station where the labels file has none: from the folder, or the path by a pattern."""
    if rule in ("none", "exif"):  # exif is known only when the picture is read
        return names
    if rule.startswith("regex:"):
        match = F.regexp_extract("relative_path", rule[len("regex:") :], 1)
        station = F.when(match != "", match)
    else:
        station = _folder(rule)
    return names.withColumn("station", F.coalesce("station", station))


def _folder(rule: str) -> Column:
    """Give the N-th folder of the path below the source, null where there is none; `folder` is the last."""
    level = int(rule.partition(":")[2] or -1)
    parts = F.split("relative_path", "/")
    folders = F.size(parts) - 1
    index = F.lit(level) if level > 0 else folders + level + 1
    inside = (index >= 1) & (index <= folders)
    return F.when(inside, F.element_at(parts, F.when(inside, index).otherwise(1)))

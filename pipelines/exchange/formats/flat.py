"""Flat tables for spreadsheets, Power BI and scripts: images.csv and images.parquet, a row for each image.

Read are also other labels tables: columns for path and label under any name that `irbis run --labels` knows.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pipelines.config.settings import Settings
from pipelines.exchange.flat_rows import flatten, with_time_texts
from pipelines.exchange.formats.base import Export, Exported, Format, Imported
from pipelines.exchange.label_rows import read_labels_of, sniff_table
from pipelines.sources.label_tables import camtrap_dp, timelapse, wildlife_insights
from pipelines.spark.local_files import write_csv, write_parquet

EXCEL_MAX_ROWS = 1_048_575  # beside the header
OTHERS = (camtrap_dp, timelapse, wildlife_insights)  # tables with a format of their own


def export(request: Export) -> Exported:
    """Write images.csv and images.parquet."""
    rows = flatten(request.rows)
    csv, parquet = request.folder / "images.csv", request.folder / "images.parquet"
    count = write_csv(with_time_texts(rows), csv, bom=True, escapes_formulas=True)
    write_parquet(rows, parquet)
    notes = []
    if count > EXCEL_MAX_ROWS:
        notes.append(f"Excel shows the first {EXCEL_MAX_ROWS:,} rows of {csv.name}: filter, or use {parquet.name}.")
    return Exported([csv, parquet], Counter(images=count), notes=notes)


def matches(path: Path) -> bool:
    table = sniff_table(path)
    return table is not None and not any(other.matches(table) for other in OTHERS)


def read(path: Path, settings: Settings) -> Imported:
    """Read the labels in force, with their reviewers, or those of any labels table."""
    return read_labels_of(path, settings.sources.columns)


FORMAT = Format("flat", "Flat CSV and Parquet", export, matches, read)

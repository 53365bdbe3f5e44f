"""Timelapse: a CSV file that it imports into the columns of a template, and its own CSV export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import functions as F

from pipelines.config.settings import Settings
from pipelines.errors import SettingsError
from pipelines.exchange.flat_rows import flatten, with_time_texts
from pipelines.exchange.formats.base import Export, Exported, Format, Imported
from pipelines.exchange.label_rows import read_labels_of, sniff_table
from pipelines.label_text import require_known_labels
from pipelines.sources.label_tables import timelapse
from pipelines.spark.local_files import write_csv

FILE = "timelapse.csv"
FIELDS = {"label": ("label", "final_label"), "station": ("station",), "sequence": ("burst_id",)}  # by column of labels


def export(request: Export) -> Exported:
    """Write a CSV file with RelativePath, File and the columns of the template that export.columns names.

    Cells are written as they are, because Timelapse compares file names and choices exactly.
    """
    columns = request.settings.export.columns
    rows = with_time_texts(flatten(request.rows))
    if not columns:
        raise SettingsError(
            "export.columns is empty, so that Timelapse would import nothing. Name columns of your template and what "
            "they are to hold: --set export.columns.Species=final_label."
        )
    require_known_labels("export.columns", columns.values(), rows.columns, "table of images", "column")
    folder = F.translate("folder", "/", "\\").alias("RelativePath")
    fields = [F.col(field).alias(name) for name, field in columns.items()]
    path = request.folder / FILE
    count = write_csv(rows.select(folder, F.col("file_name").alias("File"), *fields), path)
    return Exported([path], Counter(images=count))


def matches(path: Path) -> bool:
    table = sniff_table(path)
    return table is not None and timelapse.matches(table)


def read(path: Path, settings: Settings) -> Imported:
    """Read the labels of Timelapse's CSV export.

    They are in the column that export.columns fills with `label`, else `final_label`, unless sources.columns.label
    names another one.
    """
    columns = _find_columns(path, settings.export.columns)
    return read_labels_of(path, columns | settings.sources.columns)


def _find_columns(path: Path, template: Mapping[str, str]) -> dict[str, str]:
    """Return the columns of a labels file that the map of the template names, as far as the file has them."""
    table = sniff_table(path)
    present = {field: name for name, field in template.items() if table is not None and name in table}
    found = {}
    for column, fields in FIELDS.items():
        if name := next((present[field] for field in fields if field in present), None):
            found[column] = name
    return found


FORMAT = Format("timelapse", "Timelapse CSV", export, matches, read)

"""The table of image URLs and labels that LILA BC publishes for its camera-trap datasets."""

from __future__ import annotations

from pipelines.sources.label_tables.raw import RawTable
from pipelines.sources.label_tables.table_content import PathColumn, TableContent, first_nonempty

PROGRAM = "LILA BC"
COLUMNS = ("dataset_name", "image_id", "original_label", "scientific_name", "common_name")
ADDRESSES = ("url", "url_gcp", "url_aws", "url_azure")


def matches(table: RawTable) -> bool:
    return table.has_all(COLUMNS) and any(name in table for name in ADDRESSES)


def read(table: RawTable, configured: frozenset[str]) -> TableContent:
    columns = {"label": first_nonempty(table.column("common_name"), table.column("original_label"))}
    origins = {"label": "common_name, else original_label"}
    for name, column in (("location_id", "station"), ("datetime", "captured_at"), ("sequence_id", "sequence")):
        if name in table:
            columns[column], origins[column] = table.column(name), name
    paths = [PathColumn(name, table.column(name)) for name in ADDRESSES if name in table]
    return TableContent(PROGRAM, columns, origins, paths)

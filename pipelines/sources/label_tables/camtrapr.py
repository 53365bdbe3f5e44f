"""The record table of camtrapR (`recordTable`, `recordTableIndividual`)."""

from __future__ import annotations

from pipelines.sources.label_tables.raw import RawTable
from pipelines.sources.label_tables.table_content import PathColumn, TableContent, join_path

PROGRAM = "camtrapR"
COLUMNS = ("Station", "Species", "DateTimeOriginal", "Directory", "FileName")


def matches(table: RawTable) -> bool:
    return table.has_all(COLUMNS)


def read(table: RawTable, configured: frozenset[str]) -> TableContent:
    origins = {"label": "Species", "station": "Station", "captured_at": "DateTimeOriginal"}
    if "Camera" in table:
        origins["camera"] = "Camera"
    columns = {column: table.column(name) for column, name in origins.items()}
    name = table.column("FileName")
    paths = [
        PathColumn("Directory/FileName", join_path(table.column("Directory"), name)),
        PathColumn("Station/.../FileName", join_path(columns["station"], name), spans_folders=True),
    ]
    return TableContent(PROGRAM, columns, origins, paths)

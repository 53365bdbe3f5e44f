"""COCO Camera Traps (LILA BC), which pipelines/sources/coco_json.py reads from JSON into a table."""

from __future__ import annotations

from pipelines.sources.label_tables.raw import RawTable
from pipelines.sources.label_tables.table_content import PathColumn, TableContent

PROGRAM = "COCO Camera Traps"
HEADERS = ("file_name", "annotations.category", "location", "datetime", "seq_id")
COLUMNS = {"label": HEADERS[1], "station": HEADERS[2], "captured_at": HEADERS[3], "sequence": HEADERS[4]}


def matches(table: RawTable) -> bool:
    return table.has_all(HEADERS)


def read(table: RawTable, configured: frozenset[str]) -> TableContent:
    origins = {
        column: name for column, name in COLUMNS.items() if column == "label" or (table.column(name) != "").any()
    }
    columns = {column: table.column(name) for column, name in origins.items()}
    paths = [PathColumn("file_name", table.column("file_name"))]
    return TableContent(PROGRAM, columns, origins, paths, list(table.notes))

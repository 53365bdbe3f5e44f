"""images.csv or images.parquet of `irbis export --to flat`."""

from __future__ import annotations

import pandas as pd

from pipelines.formatting import FORMULA
from pipelines.sources.label_tables.raw import RawTable
from pipelines.sources.label_tables.table_content import PathColumn, TableContent

PROGRAM = "irbis"
COLUMNS = ("path", "label", "label_source", "is_unknown", "final_label")
LABEL_COLUMNS = {
    "label": "label",
    "station": "station",
    "camera": "camera",
    "captured_at": "captured_at",
    "sequence": "burst_id",
}
DECISION_COLUMNS = ("is_unknown", "reviewer", "reviewed_at", "comment")  # for `irbis import`
ESCAPE = f"^'(?={FORMULA})"
FROM_PARQUET = (".parquet", ".pq")


def matches(table: RawTable) -> bool:
    return table.has_all(COLUMNS)


def read(table: RawTable, configured: frozenset[str]) -> TableContent:
    has_escapes = not table.file.lower().endswith(FROM_PARQUET)
    names = LABEL_COLUMNS | {name: name for name in DECISION_COLUMNS}
    present = {column: name for column, name in names.items() if name in table and column not in configured}
    columns = {column: _read_column(table, name, has_escapes) for column, name in present.items()}
    origins = {column: name for column, name in present.items() if column in LABEL_COLUMNS}
    return TableContent(PROGRAM, columns, origins, [PathColumn("path", _read_column(table, "path", has_escapes))])


def _read_column(table: RawTable, name: str, has_escapes: bool) -> pd.Series:
    text = table.column(name)
    return text.str.replace(ESCAPE, "", regex=True) if has_escapes else text

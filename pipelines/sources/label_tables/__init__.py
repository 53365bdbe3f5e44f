"""Formats of labels files: one module per program, each listed in PROGRAMS.

Each module has `matches(table)`, which checks the set of columns, and `read(table, configured) -> TableContent`, where
`configured` are the columns that the user has set in sources.columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from pipelines.errors import DataError
from pipelines.sources.label_tables import (
    camtrap_dp,
    camtrapr,
    coco,
    generic,
    irbis,
    lila,
    timelapse,
    wildlife_insights,
)
from pipelines.sources.label_tables.generic import ALIASES
from pipelines.sources.label_tables.raw import RawTable
from pipelines.sources.label_tables.table_content import PathColumn, TableContent, first_nonempty, join_parts, join_path

__all__ = ["ALIASES", "PathColumn", "RawTable", "TableContent", "read_table"]
PROGRAMS = (irbis, coco, wildlife_insights, lila, camtrapr, camtrap_dp, timelapse)


def read_table(table: RawTable, configured: Mapping[str, str]) -> TableContent:
    """Read a labels table. `configured`: the setting sources.columns. Raises DataError with every fault.

    A configured column takes precedence over the program's reader; an empty name leaves the column out.
    """
    faults: list[str] = []
    own_columns: dict[str, pd.Series] = {}
    for column, name in configured.items():
        try:
            own_columns[column] = _evaluate(table, column, name)
        except DataError as error:
            faults += error.faults
    reader = next((program for program in PROGRAMS if program.matches(table)), generic)
    try:
        content = reader.read(table, frozenset(configured))
    except DataError as error:
        faults += error.faults
    if faults:
        raise DataError(dict.fromkeys(faults))
    columns, origins = dict(content.columns), dict(content.origins)
    for column, name in configured.items():
        columns.pop(column, None), origins.pop(column, None)
        if name and column != "path":
            columns[column], origins[column] = own_columns[column], name
    paths = [PathColumn(configured["path"], own_columns["path"])] if configured.get("path") else content.paths
    return replace(content, columns=columns, origins=origins, paths=paths)


def _evaluate(table: RawTable, column: str, name: str) -> pd.Series:
    """Evaluate a configured column: `A`, `A|B` (the first that is not empty) or `A+B` (joined)."""
    if name == "" and column not in ("path", "label"):
        return pd.Series("", index=table.cells.index, dtype=object)
    if name in table:
        return table.column(name, is_exact=True)
    if "|" in name:
        return first_nonempty(*(_evaluate(table, column, part.strip()) for part in name.split("|")))
    if "+" in name:
        parts = [_evaluate(table, column, part.strip()) for part in name.split("+")]
        return join_path(parts[0], join_parts(parts[1:], "/")) if column == "path" else join_parts(parts, " ")
    headers = ", ".join(header.strip() for header in table.headers)
    raise DataError(f"sources.columns.{column} = {name!r}: {table.file} has no such column, only {headers}.")

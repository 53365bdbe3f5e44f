"""The data file of Timelapse: fixed columns for the file, and the fields of the user's own template."""

from __future__ import annotations

from pipelines.sources.label_tables import generic
from pipelines.sources.label_tables.raw import RawTable
from pipelines.sources.label_tables.table_content import PathColumn, TableContent, join_path

PROGRAM = "Timelapse"
COLUMNS = ("RelativePath", "File")


def matches(table: RawTable) -> bool:
    return table.has_all(COLUMNS)


def read(table: RawTable, configured: frozenset[str]) -> TableContent:
    fields = generic.read(table, configured | {"path"})
    below = join_path(table.column("RelativePath"), table.column("File"))
    paths = [PathColumn("RelativePath/File", below)]
    if "RootFolder" in table:
        paths.append(PathColumn("RootFolder/RelativePath/File", join_path(table.column("RootFolder"), below)))
    return TableContent(PROGRAM, fields.columns, fields.origins, paths, fields.notes)

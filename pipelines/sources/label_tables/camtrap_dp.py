"""Observations of a Camera Trap Data Package (Agouti, TRAPPER), joined with media.csv into one table."""

from __future__ import annotations

from pipelines.errors import DataError
from pipelines.sources.label_tables.raw import RawTable
from pipelines.sources.label_tables.table_content import PathColumn, TableContent, first_nonempty
from pipelines.sources.label_times import OFFSET

PROGRAM = "Camtrap DP"
WITHOUT_SPECIES = ("blank", "human", "vehicle")  # observation types that are labels themselves
OPTIONAL = {
    "station": ("locationID", "locationName", "deploymentID"),
    "captured_at": ("timestamp", "eventStart"),
    "sequence": ("sequenceID", "eventID"),
}


def matches(table: RawTable) -> bool:
    return table.has_all(("scientificName", "observationType")) or table.has_all(("mediaID", "filePath"))


def read(table: RawTable, configured: frozenset[str]) -> TableContent:
    lacking = [name for name in ("filePath", "scientificName") if name not in table]
    if lacking and not {"path", "label"} <= configured:
        raise DataError(
            f"{table.file} is one table of a Camtrap DP package and has no column {lacking[0]}. Give the whole "
            "package: its folder, its datapackage.json, or a zip archive of it."
        )
    columns, origins = {}, {}
    if "scientificName" in table:
        columns["label"], origins["label"] = table.column("scientificName"), table.header("scientificName")
        if "observationType" in table:
            kind = table.column("observationType").str.lower()
            columns["label"] = first_nonempty(kind.where(kind.isin(WITHOUT_SPECIES), ""), columns["label"])
            origins["label"] += f", else {table.header('observationType')}"
    for column, names in OPTIONAL.items():
        name = next((name for name in names if name in table and (table.column(name) != "").any()), None)
        if name:
            columns[column], origins[column] = table.column(name), table.header(name)
    if "captured_at" in columns:  # the camera's clock, as EXIF has it; with its offset it would become UTC
        columns["captured_at"] = columns["captured_at"].str.replace(OFFSET, "", regex=True)
    paths = [PathColumn("filePath", table.column("filePath"))] if "filePath" in table else []
    if "fileName" in table:
        paths.append(PathColumn("fileName", table.column("fileName")))
    return TableContent(PROGRAM, columns, origins, paths)

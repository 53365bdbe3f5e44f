"""images.csv of a Wildlife Insights download, and the images sheet of its batch upload."""

from __future__ import annotations

from pipelines.sources.label_tables.raw import RawTable
from pipelines.sources.label_tables.table_content import (
    PathColumn,
    TableContent,
    first_nonempty,
    join_path,
    join_scientific_name,
)

PROGRAM = "Wildlife Insights"
COLUMNS = ("deployment_id", "is_blank", "genus", "species", "common_name")
BLANK = "Blank"
IDENTIFIED_BY = "identified_by"
NOT_IDENTIFIED = "no cv result"


def matches(table: RawTable) -> bool:
    return table.has_all(COLUMNS) and ("location" in table or "filename" in table)


def read(table: RawTable, configured: frozenset[str]) -> TableContent:
    common, deployment = table.column("common_name"), table.column("deployment_id")
    label = first_nonempty(common, join_scientific_name(table.column("genus"), table.column("species")))
    unidentified = label.str.lower() == NOT_IDENTIFIED
    is_blank = table.column("is_blank").str.lower().isin(["1", "1.0", "true", "t", "yes"])
    label = label.mask(unidentified, "").mask(is_blank | (common.str.lower() == "blank"), BLANK)
    columns, origins = {"label": label, "station": deployment}, {"label": "common_name", "station": "deployment_id"}
    for name, column in (("timestamp", "captured_at"), ("sequence_id", "sequence")):
        if name in table:
            columns[column], origins[column] = table.column(name), name
    if IDENTIFIED_BY in table:
        columns["reviewer"] = table.column(IDENTIFIED_BY)  # for `irbis import`
    paths = []
    if "location" in table:
        paths.append(PathColumn("location", table.column("location")))
    if "filename" in table:
        name = table.column("filename")
        paths += [
            PathColumn("deployment_id/filename", join_path(deployment, name)),
            PathColumn("filename", name),
            PathColumn("deployment_id/.../filename", join_path(deployment, name), spans_folders=True),
        ]
    notes = []
    if count := int(unidentified.sum()):
        notes.append(f"{count:,} rows with the label 'No CV Result' (not identified) are treated as unlabelled.")
    return TableContent(PROGRAM, columns, origins, paths, notes)

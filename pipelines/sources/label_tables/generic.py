"""Any table with columns for path and label, under a common name."""

from __future__ import annotations

import pandas as pd

from pipelines.errors import DataError
from pipelines.sources.label_tables.raw import RawTable, column_key
from pipelines.sources.label_tables.table_content import PathColumn, TableContent, join_path, join_scientific_name

ALIASES = {
    "path": ("path", "file_name", "file", "filepath", "image", "relative_path"),
    "label": ("label", "class", "category", "species", "common_name"),
    "station": ("station", "location", "site", "deployment_id"),
    "camera": ("camera", "camera_id"),
    "captured_at": ("captured_at", "datetime", "timestamp", "eventstart", "datetimeoriginal"),
    "sequence": ("burst_id", "seq_id", "sequence_id"),
}
FOLDERS = ("directory", "folder")  # beside a bare file name
RANKS = ("kingdom", "phylum", "order", "family", "genus")  # beside them `class` is a taxon, such as Mammalia
Candidates = dict[str, pd.Series]  # by display name


def read(table: RawTable, configured: frozenset[str]) -> TableContent:
    """Read the columns with known names, except those in `configured`.

    Raises DataError with the missing and the ambiguous columns.
    """
    faults: list[str] = []
    chosen: dict[str, tuple[str, pd.Series]] = {}
    for column in ALIASES:
        if column in configured:
            continue
        try:
            candidates = _candidates(table, column)
        except DataError as error:
            faults += error.faults
            continue
        name = _choose(candidates, column)
        if name is not None:
            chosen[column] = name, candidates[name]
        elif candidates:
            faults.append(_ambiguous(table, column, list(candidates)))
    if not faults and (lacking := [column for column in ("path", "label") if column not in {*configured, *chosen}]):
        faults.append(_missing(table, lacking))
    if faults:
        raise DataError(faults)
    paths = [PathColumn(*chosen.pop("path"))] if "path" in chosen else []
    columns = {column: text for column, (_, text) in chosen.items()}
    origins = {column: name for column, (name, _) in chosen.items()}
    return TableContent("", columns, origins, _with_folder(table, paths) + paths)


def _candidates(table: RawTable, column: str) -> Candidates:
    """Return the candidate columns; of several, only the non-empty ones."""
    names = [alias for alias in ALIASES[column] if alias in table]
    if column == "label" and any(rank in table for rank in RANKS):
        names = [name for name in names if name != "class"]
    candidates = {}
    for name in names:
        header, text = table.header(name), table.column(name)
        if name == "species" and "genus" in table:
            header, text = f"{table.header('genus')} + {header}", join_scientific_name(table.column("genus"), text)
        candidates[header] = text
    filled = {header: text for header, text in candidates.items() if (text != "").any()}
    return filled if len(candidates) > 1 and filled else candidates


def _choose(candidates: Candidates, column: str) -> str | None:
    """Return the only candidate, the first of several with equal values, or None."""
    names = list(candidates)
    if column == "path":
        for name in names:  # `a/1.jpg` contains the `1.jpg` of another column
            if all(_ends_with(candidates[name], candidates[other]) for other in names):
                return name
        return None
    if column != "label" and names and column_key(names[0]) == column_key(column):
        return names[0]
    same = all((candidates[name].str.casefold() == candidates[names[0]].str.casefold()).all() for name in names[1:])
    return names[0] if names and same else None


def _ends_with(whole: pd.Series, part: pd.Series) -> bool:
    return all(
        f"/{a}".replace("\\", "/").endswith(f"/{b}".replace("\\", "/")) for a, b in zip(whole, part, strict=True)
    )


def _with_folder(table: RawTable, paths: list[PathColumn]) -> list[PathColumn]:
    """Return the path joined from a folder column and a bare file name, if the table has both."""
    folder = next((name for name in FOLDERS if name in table), None)
    if not paths or folder is None or paths[0].text.str.contains(r"[/\\]", regex=True).any():
        return []
    joined = join_path(table.column(folder), paths[0].text)
    return [PathColumn(f"{table.header(folder)}/{paths[0].name}", joined)]


def _ambiguous(table: RawTable, column: str, names: list[str]) -> str:
    shown = ", ".join(names[:-1]) + f" or {names[-1]}"
    example = names[-1].replace(" + ", "+")
    return (
        f"{table.file} has {len(names)} columns that could be the {column}: {shown}. Their values differ. "
        f"Choose one: --set sources.columns.{column}={_quoted(example)}."
    )


def _missing(table: RawTable, lacking: list[str]) -> str:
    headers = ", ".join(header.strip() for header in table.headers)
    known = ", ".join(" | ".join(ALIASES[column]) for column in lacking)
    return (
        f"{table.file} has no column {' and no column '.join(lacking)}, only {headers}. Known names: "
        f"{known}. Or name your column: --set sources.columns.{lacking[0]}=COLUMN."
    )


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text else text

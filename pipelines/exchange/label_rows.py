"""Labels of a table (CSV, TSV, Parquet), as the formats of exchange read them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from pipelines.errors import DataError
from pipelines.exchange.formats.base import Imported
from pipelines.sources.label_files import is_parquet, read_raw_table
from pipelines.sources.label_tables import RawTable, irbis
from pipelines.sources.label_times import parse_times
from pipelines.sources.labels import LabelTable, read_label_table, validate_raw_table

SUFFIXES = (".csv", ".tsv", ".txt")
SNIFF_BYTES = 2**18
UNUSED = {"captured_at": "", "camera": "", "sequence": ""}  # not read, so that a spreadsheet's dates are no fault
OWN_COLUMNS = {*irbis.COLUMNS, *irbis.DECISION_COLUMNS, "station"}
TRUE = ("true", "1", "wahr", "vrai", "verdadero", "vero", "verdadeiro", "waar")  # as spreadsheets translate it


def sniff_table(path: Path) -> RawTable | None:
    """Return the beginning of a table, or None if the file is none. Raises DataError if its encoding is ambiguous."""
    if not is_parquet(path) and (path.is_dir() or path.suffix.lower() not in SUFFIXES):
        return None
    if is_parquet(path):
        return _sniff_parquet(path)
    with path.open("rb") as file:
        content = file.read(SNIFF_BYTES)
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):  # JSON under another name
        return None
    if len(content) < SNIFF_BYTES:
        return read_raw_table(path, content)
    try:
        return read_raw_table(path, content[: content.rfind(b"\n") + 1])
    except DataError:  # perhaps cut in the middle of a cell or character
        return read_raw_table(path, None)


def _sniff_parquet(path: Path) -> RawTable:
    try:
        names = pq.ParquetDataset(path).schema.names
    except (OSError, ValueError) as error:  # pa.ArrowInvalid is a ValueError
        raise DataError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}.") from error
    return RawTable(str(path), names, pd.DataFrame(columns=range(len(names)), dtype=object))


def read_labels_of(path: Path, columns: Mapping[str, str]) -> Imported:
    """Read a labels table. `columns`: as in sources.columns. Raises DataError with every fault."""
    columns = {**UNUSED, **columns}
    table = _read_own_columns(path)
    labels = validate_raw_table(table, columns) if table else read_label_table(str(path), columns=columns)
    return from_label_table(labels)


def from_label_table(table: LabelTable) -> Imported:
    """Return the rows of a labels table with the columns of `Imported.labels`."""
    rows, notes = table.rows.copy(), list(table.notes)
    if "is_unknown" in rows:
        rows["is_unknown"] = rows["is_unknown"].str.lower().isin(TRUE)
    if "reviewed_at" in rows:
        times, *others = parse_times(rows["reviewed_at"])
        unusable = pd.concat(others)
        if len(unusable):
            notes.append(
                f"{table.name}: {len(unusable):,} times in reviewed_at cannot be used, first {unusable.iloc[0]!r}: the "
                "time of the import takes their place. Write them as 2024-07-01 15:22:09, in UTC."
            )
        rows["reviewed_at"] = times
    return Imported(
        table.program or "labels file",
        rows,
        notes=notes,
        path_names=table.path_names,
        spanning_columns=table.spanning_columns,
    )


def _read_own_columns(path: Path) -> RawTable | None:
    """Return the columns of our own flat export that are read, as of a million images it has gigabytes of others.

    None for any other table, and for one that a spreadsheet has saved with another separator.
    """
    table = sniff_table(path)
    if table is None or not irbis.matches(table):
        return None
    names = [name for name in table.headers if name in OWN_COLUMNS]
    if is_parquet(path):
        target = io.BytesIO()
        pq.write_table(pq.read_table(path, columns=names), target)
        return read_raw_table(path, target.getvalue())
    with path.open(encoding="utf-8-sig") as file:
        if file.readline().rstrip("\n") != ",".join(table.headers):
            return None
    cells = pd.read_csv(path, usecols=names, dtype=str, keep_default_na=False, encoding="utf-8-sig")[names]
    return RawTable(str(path), names, cells.set_axis(range(len(names)), axis=1))

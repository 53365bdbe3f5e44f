"""Labels of a table (CSV, TSV, Parquet), as the formats of exchange read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from pipelines.errors import DataError
from pipelines.exchange.formats.base import Imported
from pipelines.sources.label_files import is_parquet, read_raw_table
from pipelines.sources.label_tables import RawTable
from pipelines.sources.label_times import parse_times
from pipelines.sources.labels import LabelTable, read_label_table

SUFFIXES = (".csv", ".tsv", ".txt")
SNIFF_BYTES = 2**18


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
    return from_label_table(read_label_table(str(path), columns=columns))


def from_label_table(table: LabelTable) -> Imported:
    """Return the rows of a labels table with the columns of `Imported.labels`."""
    rows, notes = table.rows.copy(), list(table.notes)
    if "is_unknown" in rows:
        rows["is_unknown"] = rows["is_unknown"].str.lower().isin(["true", "1", "wahr", "vrai", "verdadero"])
    if "reviewed_at" in rows:
        text = rows["reviewed_at"]
        times, wrong, implausible = parse_times(text)
        if len(wrong):
            raise DataError(
                f"{table.file} has {len(wrong):,} times of review that cannot be read, first {wrong.iloc[0]!r}. Write "
                "them as 2024-07-01 15:22:09, in UTC, or remove the column reviewed_at."
            )
        if len(implausible):
            notes.append(
                f"{table.name}: {len(implausible):,} times of review are implausible, first {implausible.iloc[0]!r}: "
                "the time of the import is used."
            )
        rows["reviewed_at"] = times
    return Imported(
        table.program or "labels file",
        rows,
        left_out=Counter(),
        notes=notes,
        path_names=table.path_names,
        spanning_columns=table.spanning_columns,
    )

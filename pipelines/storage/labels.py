"""Read what people know about the pictures: a CSV or Parquet file with a row for each."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pandas as pd

from pipelines.errors import DataError

# The names that other tools of the field give to the same columns (COCO Camera Traps, Timelapse, Wildlife Insights).
ALIASES = {
    "path": ("path", "file_name", "filename", "file", "filepath", "relativepath", "image"),
    "label": ("label", "class", "category", "species", "common_name"),
    "station": ("station", "location", "site", "deployment_id"),
    "camera": ("camera", "camera_id"),
    "captured_at": ("captured_at", "datetime", "date_time", "timestamp", "eventstart"),
    "sequence": ("burst_id", "seq_id", "sequence_id"),
}


def read_labels(file: str) -> pd.DataFrame:
    """Give columns path, label and those of station, camera, captured_at, sequence that the file has.

    All are text, null where empty, but captured_at: a timestamp in UTC. Paths use `/` and composed
    characters (NFC). Raises DataError naming every fault: no such file, columns missing, a path with two
    labels, times that cannot be read.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise DataError(f"sources.labels = {file}: there is no such file. Give a file, `folder` or `none`.")
    table = _rename(_read(path), file)
    table = table.apply(lambda column: column.str.strip()).replace("", None)
    table = table[table["path"].notna()]
    table["path"] = table["path"].map(normalise)
    if "captured_at" in table:
        table["captured_at"] = _times(table["captured_at"], file)
    table = table.drop_duplicates()
    twice = table["path"][table["path"].duplicated()]
    if len(twice):
        raise DataError(
            f"{file} has {len(twice)} paths twice with different values, first {twice.iloc[0]}. Keep one row each."
        )
    return table.reset_index(drop=True)


def normalise(path: str) -> str:
    """Give a path as it is compared: `/` for `\\`, no leading `./`, characters composed (NFC)."""
    path = unicodedata.normalize("NFC", path.replace("\\", "/"))
    return path[2:] if path.startswith("./") else path


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pd.read_parquet(path).astype("string").fillna("").astype(object)
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
        separator = max(",;\t", key=header.count)  # a spreadsheet writes what its country uses
        return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (UnicodeDecodeError, ValueError, OSError) as error:
        raise DataError(f"{path} cannot be read as a table in UTF-8: {str(error).splitlines()[0]}.") from error


def _rename(table: pd.DataFrame, file: str) -> pd.DataFrame:
    names = {str(name).strip().lower(): name for name in table.columns}
    found = {}
    for column, aliases in ALIASES.items():
        name = next((names[alias] for alias in aliases if alias in names), None)
        if name is not None:
            found[name] = column
    lacking = [column for column in ("path", "label") if column not in found.values()]
    if lacking:
        raise DataError(
            f"{file} has no column {' and no column '.join(lacking)}, only {', '.join(map(str, table.columns))}. "
            f"Names that are understood: {', '.join(' | '.join(ALIASES[column]) for column in lacking)}."
        )
    return table[list(found)].rename(columns=found)


def _times(column: pd.Series, file: str) -> pd.Series:
    text = column.str.replace(r"^(\d{4}):(\d\d):(\d\d)", r"\1-\2-\3", regex=True)  # EXIF's way to write a date
    iso = {"format": "ISO8601"} if pd.__version__ >= "2" else {}  # day-first dates are refused, not guessed
    times = pd.to_datetime(text, errors="coerce", utc=True, **iso)
    wrong = column[times.isna() & column.notna()]
    if len(wrong):
        raise DataError(
            f"{file} has {len(wrong)} times that cannot be read, first {wrong.iloc[0]!r}. "
            "Write them as 2014-07-01 15:22:09."
        )
    return times

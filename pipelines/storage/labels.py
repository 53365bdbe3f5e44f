"""Read what people know about the pictures: a CSV or Parquet file with a row for each."""

from __future__ import annotations

import io
import unicodedata
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import DataError
from pipelines.label_text import canonical_text

# The names that other tools of the field give to the same columns (COCO Camera Traps, Timelapse, Wildlife Insights).
ALIASES = {
    "path": ("path", "file_name", "filename", "file", "filepath", "image"),
    "label": ("label", "class", "category", "species", "common_name"),
    "station": ("station", "location", "site", "deployment_id"),
    "camera": ("camera", "camera_id"),
    "captured_at": ("captured_at", "datetime", "date_time", "timestamp", "eventstart"),
    "sequence": ("burst_id", "seq_id", "sequence_id"),
}
TIMELAPSE = ("relativepath", "file")  # folder and bare name, in two columns
OFFSET = r" ?(?:Z|[+-]\d\d:?\d\d)$"
ISO_TIME = r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: ?(?:Z|[+-]\d\d:?\d\d))?)?"


def is_file(rule: str) -> bool:
    """Say whether the setting sources.labels names a file."""
    return not (rule == "none" or rule == "folder" or rule.startswith("folder:"))


def read_labels(file: str, content: bytes | None = None) -> pd.DataFrame:
    """Give columns path, label and those of station, camera, captured_at, sequence that the file has.

    All are text, null where empty, but captured_at: a timestamp in UTC. Paths use `/` and composed
    characters (NFC). Raises DataError naming every fault: no such file, columns missing, a path with two
    labels, times that cannot be read. `content`: its bytes, where it is not on this machine's disks.
    """
    path = Path(file).expanduser()
    if content is None and not path.is_file() and not (_is_parquet(path) and path.exists()):
        raise DataError(f"sources.labels = {file}: there is no such file. Give a file, `folder` or `none`.")
    table = _rename(_read(path, content), file)
    for column in table:
        text = table[column].str.strip().str.normalize("NFC")
        table[column] = (
            text.where(text != "", None) if column == "path" else table[column].map(canonical_text)
        ).astype(object)
    table = table[table["path"].notna()]
    table = table.assign(path=table["path"].map(normalise))
    faults = []
    if "captured_at" in table:
        times, wrong = _times(table["captured_at"])
        table = table.assign(captured_at=times)
        if len(wrong):
            faults.append(
                f"{file} has {len(wrong)} times that cannot be read, first {wrong.iloc[0]!r}. "
                "Write them as 2014-07-01 15:22:09."
            )
    table = table.drop_duplicates()
    twice = table["path"][table["path"].duplicated()]
    if len(twice):
        faults.append(
            f"{file} has {len(twice)} paths twice with different values, first {twice.iloc[0]}. Keep one row each."
        )
    if faults:
        raise DataError(faults)
    return table.reset_index(drop=True)


def normalise(path: str) -> str:
    """Give a path as it is compared: `/` for `\\`, no leading `./`, characters composed (NFC)."""
    path = unicodedata.normalize("NFC", path.replace("\\", "/"))
    return path[2:] if path.startswith("./") else path


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")


def _read(path: Path, content: bytes | None) -> pd.DataFrame:
    """Give all columns as text; empty text where there is nothing."""
    try:
        if _is_parquet(path):  # may be a folder: Spark writes one
            return _read_parquet(path if content is None else pa.BufferReader(content))
        content = path.read_bytes() if content is None else content
        header = content.partition(b"\n")[0].decode("utf-8-sig")
        separator = max(",;\t", key=header.count)  # a spreadsheet writes what its country uses
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header
            return pd.read_csv(
                io.BytesIO(content),
                sep=separator,
                dtype=str,
                keep_default_na=False,
                encoding="utf-8-sig",
                index_col=False,
            )
    except pd.errors.ParserWarning as error:
        raise DataError(
            f"{path} has rows with more values than its header has names. Put values with a comma in quotes."
        ) from error
    except (UnicodeDecodeError, ValueError, OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as a table in UTF-8: {str(error).splitlines()[0]}.") from error


def _read_parquet(source: Any) -> pd.DataFrame:
    """Turn columns to text before pandas sees them: it would make 1.0 of the label 1 where others are null."""
    table = pq.read_table(source)
    simple = [name for name in table.column_names if not pa.types.is_nested(table.schema.field(name).type)]
    text = {name: table.column(name).cast(pa.string()).to_pylist() for name in simple}
    return pd.DataFrame(text, dtype=object).fillna("")


def _rename(table: pd.DataFrame, file: str) -> pd.DataFrame:
    names = {str(name).strip().lower(): name for name in table.columns}
    if all(name in names for name in TIMELAPSE):
        folder, name = (table[names[part]].str.strip() for part in TIMELAPSE)
        table = table.assign(**{names["file"]: (folder + "/" + name).str.lstrip("/")})
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


def _times(column: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Give the times in UTC and the texts that are none; day-first dates are refused, not guessed."""
    text = column.str.replace(r"^(\d{4}):(\d\d):(\d\d)", r"\1-\2-\3", regex=True)  # EXIF's way to write a date
    text = text.where(~text.str.startswith("0000-00-00", na=False), None)  # EXIF for: the clock was never set
    iso = {"format": "ISO8601"} if int(pd.__version__.split(".")[0]) >= 2 else {}
    readable = text.where(text.str.fullmatch(ISO_TIME, na=False))
    has_offset = readable.str.contains(OFFSET, na=False)
    # Apart, because pandas gives a time without an offset that of the row before.
    local, offset = (
        pd.to_datetime(readable.where(part), errors="coerce", utc=True, **iso) for part in (~has_offset, has_offset)
    )
    times = local.fillna(offset)
    return times, column[times.isna() & text.notna()]

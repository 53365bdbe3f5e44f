"""Read what people know about the images: a CSV or Parquet file with a row for each."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from pipelines.errors import DataError
from pipelines.label_text import canonical_text, is_unknown_name
from pipelines.sources.label_files import is_parquet, read_raw_table
from pipelines.sources.label_tables import ALIASES, RawTable, TableContent, read_table
from pipelines.sources.label_times import OFFSET, parse_times

# R, pandas, Excel and databases for: no value
MISSING = {"na", "<na>", "n/a", "#n/a", "nan", "null", "#name?", "#ref!", "#value!", "#div/0!", "#null!", "#num!"}
PLACEHOLDERS = {"0", "-1", "none", "-", "0.0", "-1.0"}  # a sequence id that says: no sequence
MAX_EXAMPLES = 3  # examples in a message


@dataclass(frozen=True)
class LabelTable:
    """Hold the rows of a labels file, and what was read from where.

    `rows`: path and those of label, station, camera, captured_at, sequence that the file has, then `other_paths`,
    columns with other ways to find the image of a row. Those named in `spanning` are a folder and a file name with any
    folders between. Values are text, null where missing, but captured_at: a timestamp in UTC. `notes` are sentences.
    """

    file: str
    program: str
    rows: pd.DataFrame
    origins: dict[str, str]
    path_names: dict[str, str]  # column of `rows` -> columns of the file
    spanning_columns: frozenset[str]
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.file.replace("\\", "/").rstrip("/").rpartition("/")[2]


def is_labels_file(rule: str) -> bool:
    """Return whether the setting sources.labels names a file."""
    return not (rule == "none" or rule == "folder" or rule.startswith("folder:"))


def read_labels(file: str, content: bytes | None = None) -> pd.DataFrame:
    """Return columns path, label and those of station, camera, captured_at, sequence that the file has."""
    table = read_label_table(file, content)
    return table.rows[[column for column in table.rows if column in ALIASES]]


def read_label_table(
    file: str, content: bytes | None = None, columns: Mapping[str, str] | None = None, now: datetime | None = None
) -> LabelTable:
    """Read a labels file. Paths use `/` and composed characters (NFC).

    `content`: its bytes, where it is not on this machine's disks; `columns`: the setting sources.columns. Raises
    DataError naming every fault: no such file, columns missing or ambiguous, an image with two labels, times that
    cannot be read.
    """
    path = Path(file).expanduser()
    if content is None and not is_parquet(path) and path.is_dir():
        raise DataError(f"sources.labels = {file} is a folder. Give the labels file in it, `folder` or `none`.")
    if content is None and not path.exists():
        raise DataError(f"sources.labels = {file}: there is no such file. Give a file, `folder` or `none`.")
    raw = read_raw_table(path, content, (columns or {}).values())
    raw = RawTable(file, raw.headers, raw.cells)
    return _validate(file, read_table(raw, columns or {}), now)


def normalize_path(path: str) -> str:
    """Return a path as it is compared: `/` for `\\`, no leading `./`, characters composed (NFC)."""
    path = unicodedata.normalize("NFC", path.replace("\\", "/"))
    return path[2:] if path.startswith("./") else path


def find_contradictions(rows: pd.DataFrame, file: str) -> list[str]:
    """Return a sentence for each column of which one path has several values."""
    duplicates = rows[rows["path"].duplicated(keep=False)]
    faults = []
    for column in (column for column in ALIASES if column in rows and column != "path"):
        known = duplicates[["path", column]].dropna().drop_duplicates()
        values = known[known["path"].duplicated(keep=False)].groupby("path", sort=True)[column].agg(list)
        if len(values):
            shown = "; ".join(
                f"{path}: {', '.join(map(str, each))}" for path, each in values.head(MAX_EXAMPLES).items()
            )
            faults.append(
                f"{file} gives {len(values):,} images more than one {column} (first {shown}). " + REMEDIES[column]
            )
    return faults


REMEDIES = dict.fromkeys(ALIASES, "Keep one row for each image, or the same value in all its rows.") | {
    "label": "An image has one label: keep one row (say, of the species that counts), write one combined label in all "
    "its rows (such as 'fox and hare'), or leave the image out by an empty label.",
}


def merge_duplicate_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each path, of each column the value that is not null."""
    rows = rows.drop_duplicates()
    is_twice = rows["path"].duplicated(keep=False)
    if not is_twice.any():
        return rows
    merged = rows[is_twice].groupby("path", sort=False, as_index=False).first()
    return pd.concat([rows[~is_twice], merged], ignore_index=True)


def _validate(file: str, reading: TableContent, now: datetime | None) -> LabelTable:
    """Return the table of a reading, with texts cleaned and times parsed."""
    faults, notes = [], list(reading.notes)
    names = {"path" if i == 0 else f"path_{i}": path for i, path in enumerate(reading.paths)}
    rows = pd.DataFrame({name: _clean_text(path.text).map(normalize_path, "ignore") for name, path in names.items()})
    for column, text in reading.columns.items():
        rows[column] = text.map(canonical_text).astype(object)
    rows = rows[rows[list(names)].notna().any(axis=1)]
    name = file.replace("\\", "/").rpartition("/")[2]
    if "label" in rows:
        is_missing = rows["label"].str.lower().isin(MISSING)
        if count := int(is_missing.sum()):
            example = rows["label"][is_missing].iloc[0]
            notes.append(f"{name}: {count:,} rows with the label {example!r} are taken as rows without a label.")
    for column in rows:
        rows[column] = rows[column].mask(rows[column].str.lower().isin(MISSING), None)
    notes += _drop_unknown_names(rows, name)
    if "captured_at" in rows:
        times, wrong, implausible = parse_times(rows["captured_at"], now)
        notes += _note_mixed_zones(rows["captured_at"].where(times.notna()), name)
        rows = rows.assign(captured_at=times)
        if len(wrong):
            faults.append(_describe_unreadable_times(file, wrong))
        if len(implausible):
            notes.append(
                f"{name}: {len(implausible):,} times cannot be right, first {implausible.iloc[0]!r} (before 1970, in "
                "the future, a clock that was never set, or a day without a time): they are taken as unknown."
            )
    if "sequence" in rows:
        rows, note = _drop_false_sequences(rows, name, reading.origins["sequence"])
        notes += note
    rows = rows.drop_duplicates()
    faults += find_contradictions(rows, file)
    if faults:
        raise DataError(faults)
    rows = merge_duplicate_rows(rows) if len(names) == 1 else rows
    spanning = frozenset(column for column, path in names.items() if path.spans_folders)
    shown = {column: path.name for column, path in names.items()}
    return LabelTable(
        file, reading.program, rows.reset_index(drop=True), reading.origins, shown, spanning, tuple(notes)
    )


def _drop_unknown_names(rows: pd.DataFrame, name: str) -> list[str]:
    """Empty the stations and cameras of `rows` that are words for an unknown one; return sentences on them."""
    notes = []
    for column in ("station", "camera"):
        if column in rows:
            is_unknown = rows[column].map(lambda value: isinstance(value, str) and is_unknown_name(value)).astype(bool)
            if count := int(is_unknown.sum()):
                word = rows[column][is_unknown].iloc[0]
                notes.append(f"{name}: {count:,} rows with the {column} {word!r} are taken as rows without a {column}.")
                rows[column] = rows[column].mask(is_unknown, None)
    return notes


def _clean_text(text: pd.Series) -> pd.Series:
    text = text.str.strip().str.normalize("NFC")
    return text.where(text != "", None).astype(object)


def _note_mixed_zones(times: pd.Series, name: str) -> list[str]:
    """Return a sentence if only some times have an offset from UTC: the others are those of the cameras' clocks."""
    count = int(times.str.contains(OFFSET, na=False).sum())
    if not 0 < count < len(times):
        return []
    return [
        f"{name}: {count:,} of {len(times):,} rows have a time with an offset from UTC, which is stored in UTC, the "
        "others a time without one or none, for which the camera's clock counts. Where these differ, bursts are not "
        "found: write all times, and in one way."
    ]


def _describe_unreadable_times(file: str, wrong: pd.Series) -> str:
    sentence = (
        f"{file} has {len(wrong)} times that cannot be read, first {wrong.iloc[0]!r}. "
        "Write them as 2014-07-01 15:22:09, or leave the column out: --set sources.columns.captured_at=."
    )
    if wrong.str.fullmatch(r"\d{5}([.,]\d+)?").any():
        sentence += " These are serial numbers of Excel: give the column the format yyyy-mm-dd hh:mm:ss and save again."
    return sentence


def _drop_false_sequences(rows: pd.DataFrame, name: str, origin: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows without sequence ids that name no sequence: placeholders, or one id for all images."""
    sequence = rows["sequence"]
    is_placeholder = sequence.str.lower().isin(PLACEHOLDERS) & (
        rows.groupby("sequence")["path"].transform("nunique") > 1
    )
    others = sequence[~is_placeholder].dropna()
    if others.nunique() == 1 and rows["path"][others.index].nunique() > 1:
        is_placeholder = sequence.notna()
    if not is_placeholder.any():
        return rows, []
    note = (
        f"{name}: {int(is_placeholder.sum()):,} rows have {sequence[is_placeholder].iloc[0]!r} in {origin}, which is the same for many "
        "images and names no sequence: it is not used."
    )
    return rows.assign(sequence=sequence.mask(is_placeholder, None)), [note]

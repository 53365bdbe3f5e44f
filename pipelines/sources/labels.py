"""Read a labels file: CSV, Parquet or COCO Camera Traps, with a row for each image, or a Camtrap DP package."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pandas as pd

from pipelines.errors import DataError
from pipelines.label_text import canonical_text, is_unknown_name
from pipelines.sources.camtrap_labels import read_package
from pipelines.sources.camtrap_package import is_package, open_package
from pipelines.sources.label_files import is_parquet, read_raw_table
from pipelines.sources.label_tables import ALIASES, RawTable, TableContent, read_table
from pipelines.sources.label_times import OFFSET, parse_times

# Missing values as R, pandas, Excel and databases write them
MISSING = {"na", "<na>", "n/a", "#n/a", "nan", "null", "#name?", "#ref!", "#value!", "#div/0!", "#null!", "#num!"}
PLACEHOLDERS = {"0", "-1", "none", "-", "0.0", "-1.0"}  # sequence ids that mean "no sequence"
MAX_EXAMPLES = 3  # examples in a message


@dataclass(frozen=True)
class LabelTable:
    """The rows of a labels file, and the columns they were read from.

    `rows`: path; those of label, station, camera, captured_at, sequence that the file has; then path_1, path_2, ...,
    alternative paths of the image. Paths in `spanning_columns` are a folder and a file name with any folders between.
    Values are text, null if missing, except captured_at: a timestamp in UTC. `notes` are sentences.
    """

    file: str
    program: str
    rows: pd.DataFrame
    origins: dict[str, str]
    path_names: dict[str, str]  # column of `rows` -> column names in the file
    spanning_columns: frozenset[str]
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.file.replace("\\", "/").rstrip("/").rpartition("/")[2]


def is_labels_file(rule: str) -> bool:
    """Return whether the setting sources.labels names a file."""
    return not (rule == "none" or rule == "folder" or rule.startswith("folder:"))


def read_labels(file: str, content: bytes | None = None) -> pd.DataFrame:
    """Return the columns path, label and, if the file has them, station, camera, captured_at, sequence."""
    table = read_label_table(file, content)
    return table.rows[[column for column in table.rows if column in ALIASES]]


def read_label_table(
    file: str, content: bytes | None = None, columns: Mapping[str, str] | None = None, now: datetime | None = None
) -> LabelTable:
    """Read a labels file. Paths use `/` and composed characters (NFC).

    `file` may be a Camtrap DP package: a folder, its datapackage.json, or a zip archive of it.
    `content`: the bytes of a remote file; `columns`: the setting sources.columns. Raises
    DataError with every fault: no such file, missing or ambiguous columns, an image with two labels, invalid times.
    """
    path = Path(file).expanduser()
    if is_package(path, content):
        return _validate(file.rstrip("/"), _read_package(file, path, content, columns or {}), now)
    if content is None and not is_parquet(path) and path.is_dir():
        raise DataError(f"sources.labels = {file} is a folder. Give the labels file in it, `folder` or `none`.")
    if content is None and not path.exists():
        raise DataError(f"sources.labels = {file}: there is no such file. Give a file, `folder` or `none`.")
    raw = read_raw_table(path, content, (columns or {}).values())
    return _validate(file, read_table(replace(raw, file=file), columns or {}), now)


def _read_package(file: str, path: Path, content: bytes | None, columns: Mapping[str, str]) -> TableContent:
    if named := sorted(column for column, name in columns.items() if name):
        raise DataError(
            f"sources.columns.{named[0]} = {columns[named[0]]}: {file} is a Camtrap DP package, whose columns are "
            "known. Leave the setting out."
        )
    return read_package(open_package(path, content), frozenset(columns))


def normalize_path(path: str) -> str:
    """Normalize a path for comparison: `/` for `\\`, no leading `./`, composed characters (NFC)."""
    path = unicodedata.normalize("NFC", path.replace("\\", "/"))
    return path[2:] if path.startswith("./") else path


def find_contradictions(rows: pd.DataFrame, file: str) -> list[str]:
    """Return a sentence for each column in which one path has several values."""
    duplicates = rows[rows["path"].duplicated(keep=False)]
    faults = []
    for column in (column for column in ALIASES if column in rows and column != "path"):
        known = duplicates[["path", column]].dropna().drop_duplicates()
        values = known[known["path"].duplicated(keep=False)].groupby("path", sort=True)[column].agg(list)
        if len(values):
            shown = "; ".join(
                f"{path}: {', '.join(map(str, several))}" for path, several in values.head(MAX_EXAMPLES).items()
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
    """Merge duplicate rows of a path; of each column keep the non-null value."""
    rows = rows.drop_duplicates()
    is_twice = rows["path"].duplicated(keep=False)
    if not is_twice.any():
        return rows
    merged = rows[is_twice].groupby("path", sort=False, as_index=False).first()
    return pd.concat([rows[~is_twice], merged], ignore_index=True)


def _validate(file: str, content: TableContent, now: datetime | None) -> LabelTable:
    """Return the labels of a table, with texts cleaned and times parsed. Raises DataError with every fault."""
    faults, notes = [], list(content.notes)
    names = {"path" if i == 0 else f"path_{i}": path for i, path in enumerate(content.paths)}
    rows = pd.DataFrame({name: _clean_text(path.text).map(normalize_path, "ignore") for name, path in names.items()})
    for column, text in content.columns.items():
        rows[column] = text.map(canonical_text).astype(object)
    rows = rows[rows[list(names)].notna().any(axis=1)]
    name = file.replace("\\", "/").rpartition("/")[2]
    if "label" in rows:
        is_missing = rows["label"].str.lower().isin(MISSING)
        if count := int(is_missing.sum()):
            example = rows["label"][is_missing].iloc[0]
            notes.append(f"{name}: {count:,} rows with the label {example!r} are treated as unlabelled.")
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
                f"{name}: {len(implausible):,} times are implausible, first {implausible.iloc[0]!r} (before 1970, in "
                "the future, a clock that was never set, or a day without a time): they are treated as unknown."
            )
    if "sequence" in rows:
        rows, note = _drop_false_sequences(rows, name, content.origins["sequence"])
        notes += note
    rows = rows.drop_duplicates()
    faults += find_contradictions(rows, file)
    if faults:
        raise DataError(faults)
    rows = merge_duplicate_rows(rows) if len(names) == 1 else rows
    spanning = frozenset(column for column, path in names.items() if path.spans_folders)
    shown = {column: path.name for column, path in names.items()}
    return LabelTable(
        file, content.program, rows.reset_index(drop=True), content.origins, shown, spanning, tuple(notes)
    )


def _drop_unknown_names(rows: pd.DataFrame, name: str) -> list[str]:
    """Clear stations and cameras of `rows` that mean "unknown", in place; return sentences on them."""
    notes = []
    for column in ("station", "camera"):
        if column in rows:
            is_unknown = rows[column].map(lambda value: isinstance(value, str) and is_unknown_name(value)).astype(bool)
            if count := int(is_unknown.sum()):
                word = rows[column][is_unknown].iloc[0]
                notes.append(
                    f"{name}: {count:,} rows with the {column} {word!r} are treated as rows without a {column}."
                )
                rows[column] = rows[column].mask(is_unknown, None)
    return notes


def _clean_text(text: pd.Series) -> pd.Series:
    text = text.str.strip().str.normalize("NFC")
    return text.where(text != "", None).astype(object)


def _note_mixed_zones(times: pd.Series, name: str) -> list[str]:
    """Return a sentence if only some times have a UTC offset: the others follow the cameras' clocks."""
    count = int(times.str.contains(OFFSET, na=False).sum())
    if not 0 < count < len(times):
        return []
    return [
        f"{name}: {count:,} of {len(times):,} rows have a time with a UTC offset and are converted to UTC; the "
        "others have a time without an offset, or none, and follow the camera's clock. Where these differ, bursts are "
        "not detected: write all times in the same form."
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
    """Clear sequence ids that do not identify a sequence: placeholders, or one id for all images."""
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
        f"{name}: {int(is_placeholder.sum()):,} rows have {sequence[is_placeholder].iloc[0]!r} in {origin}, which is "
        "the same for many images and not a sequence id: it is ignored."
    )
    return rows.assign(sequence=sequence.mask(is_placeholder, None)), [note]


def validate_raw_table(raw: RawTable, columns: Mapping[str, str]) -> LabelTable:
    """Return the labels of a table that is in memory already. Raises as `read_label_table` does."""
    return _validate(raw.file, read_table(raw, columns), None)

"""Read a labels file (CSV, TSV, Parquet, JSON), saved by any program, into a table of text."""

from __future__ import annotations

import codecs
import csv
import io
import re
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import DataError
from pipelines.sources.coco_json import is_coco, raw_cells, read_coco
from pipelines.sources.json_files import JsonFile
from pipelines.sources.label_tables import ALIASES, RawTable, coco
from pipelines.sources.label_tables.raw import column_key

HEAD_BYTES = 2**18  # enough for the header of a table
CHUNK_ROWS = 50_000
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
SEPARATORS = ",;\t|"
KNOWN_HEADERS = {column_key(alias) for aliases in ALIASES.values() for alias in aliases} | {
    "genus",
    "directory",
    "deploymentid",
}
BINARY_SIGNATURES = (
    (b"PK\x03\x04", "is a workbook or a zip archive, not text. In Excel or LibreOffice, save the sheet as 'CSV UTF-8'"),
    (b"\xd0\xcf\x11\xe0", "is an Excel workbook, not text. Save the sheet as 'CSV UTF-8'"),
    (b"\x1f\x8b", "is compressed (gzip). Unpack it first: gunzip FILE"),
    (b"SQLite format 3", "is a database (such as Timelapse's .ddb). Export it as CSV from the program"),
    (b"[", "is JSON, but not COCO Camera Traps. Export its labels as CSV with columns path and label"),
    (b"PAR1", "is a Parquet file under another name. Rename it to end in .parquet"),
)


def is_parquet(path: Path) -> bool:
    """Return whether a path has a suffix of Parquet."""
    return path.suffix.lower() in (".parquet", ".pq")


def read_raw_table(path: Path, content: bytes | None, names: Collection[str] = ()) -> RawTable:
    """Return all cells as text. `content`: the bytes of a remote file; `names`: expected column names.

    Raises DataError if the file is not a table, or its encoding is ambiguous.
    """
    try:
        if is_parquet(path):  # may be a folder, as Spark writes it
            return _read_parquet(path, path if content is None else pa.BufferReader(content))
        if is_json(path, content):
            return _read_json(JsonFile(path, content))
        return _read_csv(path, path.read_bytes() if content is None else content, names)
    except (ValueError, OSError, csv.Error, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as a table: {str(error).splitlines()[0]}.") from error


def read_columns(file: str, stream: IO[bytes], columns: Collection[str]) -> RawTable:
    """Return those of the columns that a CSV file has. The file's text is never in memory as a whole.

    Raises DataError if the file is not a table, or its encoding is ambiguous.
    """
    head = stream.read(HEAD_BYTES)
    is_utf16 = head.startswith(UTF16)
    whole = head if len(head) < HEAD_BYTES else head[: head.rfind(b"\n") + 1]
    text = head.decode("utf-16", "ignore") if is_utf16 else _decode(Path(file), whole)
    if not text.strip():
        raise DataError(f"{file} is empty. Give a file with a header.")
    keys = {column_key(name) for name in columns}
    separator = _find_separator(text, keys)
    headers = _read_header(text, separator)
    wanted = [i for i, header in enumerate(headers) if column_key(header) in keys]
    stream.seek(0)
    try:
        cells = _parse_csv(file, stream, separator, len(headers), wanted, "utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        stream.seek(0)
        _decode(Path(file), stream.read())  # says where
        raise
    except (ValueError, csv.Error) as error:
        raise DataError(f"{file} cannot be read as a table: {str(error).splitlines()[0]}.") from error
    return RawTable(file, [headers[i] for i in wanted], cells.set_axis(range(len(wanted)), axis=1))


def _parse_csv(
    file: str, source: Any, separator: str, width: int, columns: list[int] | None = None, encoding: str = "utf-8"
) -> pd.DataFrame:
    columns = list(range(width)) if columns is None else columns
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header
            chunks = pd.read_csv(
                source,
                sep=separator,
                header=0,
                names=list(range(width)),
                dtype=str,
                keep_default_na=False,
                index_col=False,
                encoding=encoding,
                chunksize=CHUNK_ROWS,  # `usecols` would be faster, but is silent on rows that are too long
            )
            parts = [chunk[columns] for chunk in chunks]
    except pd.errors.ParserWarning as error:
        raise DataError(
            f"{file} has rows with more values than its header has names. Put values with a comma in quotes."
        ) from error
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns, dtype=object)


def is_json(path: Path, content: bytes | None) -> bool:
    """Return whether the file is a JSON object, by its first characters."""
    if content is None:
        with path.open("rb") as file:
            content = file.read(100)
    return content[:100].lstrip(codecs.BOM_UTF8 + b" \t\r\n").startswith(b"{")


def _read_json(file: JsonFile) -> RawTable:
    """Read COCO Camera Traps, the only JSON that holds people's labels and no other tables."""
    if not is_coco(file):
        raise DataError(
            f"{file} is JSON, but not COCO Camera Traps: it lacks images, annotations or categories. Results of "
            "MegaDetector or SpeciesNet are not labels: `irbis import FILE`. Other labels: export them as CSV with "
            "columns path and label."
        )
    cells, notes = raw_cells(read_coco(file))
    return RawTable(str(file), list(coco.HEADERS), cells, tuple(notes))


def _read_csv(path: Path, content: bytes, names: Collection[str]) -> RawTable:
    text = _skip_preamble(_decode(path, content))
    if not text.strip():
        raise DataError(f"{path} is empty. Give a file with columns path and label.")
    declared = re.match(r'"?sep=(.)"?[^\S\n\r]*(?:\r\n|\r|\n)', text, re.IGNORECASE)  # Excel's first line
    if declared:
        text = _skip_preamble(text[declared.end() :])
    separator = declared[1] if declared else _find_separator(text, {column_key(name) for name in names} | KNOWN_HEADERS)
    headers = _read_header(text, separator)
    cells = _parse_csv(str(path), io.StringIO(text, newline=""), separator, len(headers))
    return RawTable(str(path), headers, cells)


def _decode(path: Path, content: bytes) -> str:
    """Decode UTF-8 or UTF-16; other encodings cannot be distinguished reliably, so they are rejected."""
    for beginning, sentence in BINARY_SIGNATURES:
        if content.startswith(beginning):
            raise DataError(f"{path} {sentence}.")
    if content.startswith(UTF16):
        return content.decode("utf-16")
    if b"\0" in content[:1000]:  # UTF-16 without a byte-order mark
        return content.decode("utf-16-le" if content[1:2] == b"\0" else "utf-16-be")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        begin = max(content.rfind(end, 0, error.start) for end in (b"\n", b"\r")) + 1
        line = re.split(rb"[\r\n]", content[begin : begin + 200])[0].decode("cp1252", "replace")
        number = len(content[:begin].splitlines()) + 1
        raise DataError(
            f"{path} is not in UTF-8: line {number} has the byte 0x{content[error.start]:02x} (read as Windows-1252: "
            f"{line!r}). Save it as 'CSV UTF-8', or convert it: iconv -f WINDOWS-1252 -t UTF-8 FILE."
        ) from error


def _skip_preamble(text: str) -> str:
    """Return the text from the first line that contains more than blanks and separators."""
    match = re.search(r"[^\s,;|\ufeff\u200b\u2060]", text)
    return text[max(text.rfind(end, 0, match.start()) for end in "\r\n") + 1 :] if match else ""


def _find_separator(text: str, known: set[str]) -> str:
    """Return the separator that yields the most known header names, then the most names."""

    def score(separator: str) -> tuple[int, int]:
        headers = _read_header(text, separator)
        return len(known & {column_key(name) for name in headers}), len(headers)

    return max(SEPARATORS, key=score)


def _read_header(text: str, separator: str) -> list[str]:
    lines = io.StringIO(text[:100_000], newline=None)
    return [name.strip("\ufeff") for name in next(csv.reader(lines, delimiter=separator))]


def _read_parquet(path: Path, source: Any) -> RawTable:
    """Convert columns to text before pandas reads them: it would turn the label 1 into 1.0 where others are null."""
    table = pq.read_table(source)
    simple = [i for i, field in enumerate(table.schema) if not pa.types.is_nested(field.type)]
    cells = {i: table.column(i).cast(pa.string()).to_pylist() for i in simple}
    frame = pd.DataFrame(cells, dtype=object).fillna("")
    return RawTable(str(path), [table.schema.field(i).name for i in simple], frame)

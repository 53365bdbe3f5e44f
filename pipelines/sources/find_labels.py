"""Find labels files at the top level of a folder of images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pipelines.errors import DataError
from pipelines.safe_paths import find_dot_segment, resolves_below
from pipelines.sources.label_files import is_parquet, read_raw_table
from pipelines.sources.label_paths import strip_root
from pipelines.sources.label_tables import RawTable, read_table
from pipelines.sources.labels import is_labels_file

SUFFIXES = (".csv", ".tsv", ".parquet")
SNIFF_BYTES = 2**18  # bytes read of each file
SNIFF_ROWS = 1000


def find_label_files(folder: str, columns: Mapping[str, str]) -> list[str]:
    """Return the sorted names of files called `labels` and of tables that name images of the folder.

    Reads only the beginning of each file. `columns`: the setting sources.columns. Symbolic links that lead out of the
    folder are skipped, as they are for images.
    """
    with os.scandir(folder) as entries:
        tables = [Path(entry.path) for entry in entries if entry.is_file() and _is_table(entry.name)]
    files = sorted(file for file in tables if resolves_below(file, folder))
    return [file.name for file in files if file.stem.lower() == "labels" or _names_images(file, columns)]


def labels_path_below(rule: str, root: str) -> list[str]:
    """Return the path of the labels file in sources.labels relative to a source's root; empty if it is elsewhere."""
    if not is_labels_file(rule):
        return []
    address = rule if "://" in rule else f"file://{os.path.abspath(os.path.expanduser(rule))}"
    return [address[len(root) :]] if address.startswith(root) else []


def _is_table(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _names_images(file: Path, columns: Mapping[str, str]) -> bool:
    try:
        content = None if is_parquet(file) else _read_beginning(file)
        table = read_raw_table(file, content, columns.values())
        paths = read_table(RawTable(table.file, table.headers, table.cells.head(SNIFF_ROWS)), columns).paths
    except (DataError, OSError):
        return False
    return any(_is_below(file.parent, text) for path in paths for text in path.text.unique())


def _read_beginning(file: Path) -> bytes:
    with file.open("rb") as stream:
        content = stream.read(SNIFF_BYTES)
    return content if len(content) < SNIFF_BYTES else content[: content.rfind(b"\n") + 1]


def _is_below(folder: Path, text: str) -> bool:
    """Return whether the path, or the rest of it after one of its folders, is a file in the folder."""
    rest = strip_root(text.replace("\\", "/"))
    while rest:
        try:
            if not find_dot_segment(rest) and (folder / rest).is_file():
                return True
        except (OSError, ValueError):  # the text is not a path
            return False
        rest = rest.partition("/")[2]
    return False

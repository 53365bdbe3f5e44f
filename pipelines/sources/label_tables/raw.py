"""A labels table as stored in its file: text cells and original header names."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from pipelines.errors import DataError


def column_key(name: str) -> str:
    """Return the comparison key of a header name: letters and digits only, in lower case.

    `File Name`, `file_name` and `FileName` are equal. Byte-order marks and invisible characters are ignored.
    """
    return "".join(character for character in unicodedata.normalize("NFC", name).casefold() if character.isalnum())


@dataclass(frozen=True)
class RawTable:
    """Cells as text, empty for a missing value; `headers` in the order of the columns of `cells`.

    `notes` are sentences on what the file has and the cells have not.
    """

    file: str
    headers: list[str]
    cells: pd.DataFrame
    notes: tuple[str, ...] = ()

    def __contains__(self, name: str) -> bool:
        return bool(self._positions(name))

    @property
    def keys(self) -> set[str]:
        return {column_key(header) for header in self.headers}

    def has_all(self, names: Iterable[str]) -> bool:
        """Return whether all names are headers, compared by their keys."""
        return {column_key(name) for name in names} <= self.keys

    def header(self, name: str) -> str:
        """Return the name as written in the file."""
        return self.headers[self._one(name)].strip().strip("\ufeff")

    def column(self, name: str, *, is_exact: bool = False) -> pd.Series:
        """Return the stripped text of one column. Raises DataError if several headers have that name.

        `is_exact`: of names that differ in case alone, select the one with exactly this spelling.
        """
        is_one = is_exact and self.headers.count(name) == 1
        text = self.cells.iloc[:, self.headers.index(name) if is_one else self._one(name)]
        return text.str.strip().str.normalize("NFC").fillna("")

    def _one(self, name: str) -> int:
        positions = self._positions(name)
        if len(positions) > 1:
            duplicates = ", ".join(repr(self.headers[position]) for position in positions)
            raise DataError(
                f"{self.file} has {len(positions)} columns of the same name: {duplicates}. Rename or remove the wrong "
                "ones."
            )
        return positions[0]

    def _positions(self, name: str) -> list[int]:
        key = column_key(name)
        return [position for position, header in enumerate(self.headers) if column_key(header) == key]

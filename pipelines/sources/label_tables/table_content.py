"""The content of a labels table, in the columns of irbis, and helpers for text columns."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd


@dataclass(frozen=True)
class PathColumn:
    """A column of image paths.

    `spans_folders`: the path is a folder and a file name, with any number of folders between them.
    """

    name: str
    text: pd.Series
    spans_folders: bool = False


@dataclass(frozen=True)
class TableContent:
    """The columns read from a table, as text, and the names of their origins in the file.

    `paths` are alternatives, the most specific first; the one that matches the most images is used. `notes` are
    sentences.
    """

    program: str = ""  # empty: not written by a known program
    columns: dict[str, pd.Series] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    paths: list[PathColumn] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def first_nonempty(*columns: pd.Series) -> pd.Series:
    """Return the first non-empty text of each row."""
    result = columns[0]
    for column in columns[1:]:
        result = result.where(result != "", column)
    return result


def join_parts(parts: list[pd.Series], separator: str) -> pd.Series:
    """Join the non-empty parts of each row."""
    result = parts[0]
    for part in parts[1:]:
        both = (result != "") & (part != "")
        result = (result + separator + part).where(both, first_nonempty(result, part))
    return result


def join_scientific_name(genus: pd.Series, species: pd.Series) -> pd.Series:
    """Join genus and species to `Ursus americanus`; a species of several words is already complete."""
    is_whole = species.str.contains(" ", regex=False)
    return species.where(is_whole, join_parts([genus, species], " "))


def join_path(folder: pd.Series, name: pd.Series) -> pd.Series:
    """Join to `folder/name`, or to the name alone if there is no folder; empty if there is no name."""
    joined = join_parts([folder.str.replace(r"[/\\]+$", "", regex=True), name], "/")
    return joined.where(name != "", "")

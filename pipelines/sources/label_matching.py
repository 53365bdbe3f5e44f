"""Give the rows of a labels file to the images they mean, and say in one line what came of it."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from pipelines.errors import DataError
from pipelines.sources.label_paths import PathMatches, match_paths, match_paths_anywhere
from pipelines.sources.labels import LabelTable, contradictions, merge_duplicate_rows

SHOWN = 2  # examples in a message


def match_labels(table: LabelTable, paths: list[str], root: str = "") -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of images that are there, under the paths of these, and sentences on what was read and matched.

    `paths`: of the images, below `root`. Raises DataError if labels and images have nothing in common, or two rows
    say different things of one image.
    """
    known, found = dict.fromkeys(paths), {}
    for column in table.path_names:
        told = table.rows[column].dropna().unique()
        spans = column in table.spanning
        found[column] = match_paths_anywhere(told, known) if spans else match_paths(told, known, root)
        if len(found[column].images) == len(told) > 0:
            break
    column = max(found, key=lambda each: (len(found[each].images), -len(found[each].unsure)))
    located = found[column]
    told = table.rows[column]
    _require_common(table, located, told, known)
    image = told.map(located.images)
    rows = table.rows.drop(columns=list(table.path_names)).assign(path=image)
    rows = rows[image.notna()].drop_duplicates()
    if faults := contradictions(rows, table.file):
        raise DataError(faults)
    rows = merge_duplicate_rows(rows)
    rows = rows[["path", *(name for name in rows if name != "path")]]
    return rows, [_summary(table, column, located, rows, told[image.isna()], paths), *table.notes]


def _require_common(table: LabelTable, located: PathMatches, told: pd.Series, known: Collection[str]) -> None:
    """Raise DataError if the rows mean none of the images, or a bare name means several of them."""
    if located.by_name and located.unsure:
        path, images = next(iter(located.unsure.items()))
        raise DataError(
            f"{table.file}: {path!r} may be any of {len(images):,} images, such as "
            f"{' and '.join(sorted(images)[:SHOWN])}. Write paths with their folders."
        )
    if not located.images and len(told) and known:
        raise DataError(
            f"{table.file}: none of its {len(told):,} paths is among the {len(known):,} images found, first "
            f"{told.dropna().iloc[0]!r}. Paths are those below the folder of images, such as {min(known)!r}, and may "
            "begin further up or down."
        )


def _summary(
    table: LabelTable, column: str, located: PathMatches, rows: pd.DataFrame, missing: pd.Series, paths: list[str]
) -> str:
    """Return one line: what was read from which column, and how many images it labels."""
    labelled = set(rows["path"][rows["label"].notna()]) if "label" in rows else set()
    count = sum(path in labelled for path in paths)
    program = f" ({table.program})" if table.program else ""
    origins = {"label": table.origins.get("label", ""), "path": table.path_names[column]} | table.origins
    parts = [
        f"{table.name}{program}: {', '.join(f'{name} = {origin}' for name, origin in origins.items())}",
        f"{count:,} of {len(paths):,} images have a label, {len(paths) - count:,} have none",
    ]
    if len(missing):
        parts.append(f"{len(missing):,} rows match no image, first {missing.iloc[0]}")
    if located.folded:
        parts.append(f"{len(located.folded):,} rows match with upper and lower case ignored, first {located.folded[0]}")
    if located.unsure:
        path, images = next(iter(located.unsure.items()))
        parts.append(
            f"{len(located.unsure):,} rows may mean several images that differ in upper and lower case, first {path} "
            f"({' and '.join(sorted(images)[:SHOWN])})"
        )
    if located.cut:
        more = f" and {len(located.cut) - SHOWN:,} others" if len(located.cut) > SHOWN else ""
        parts.append(f"taken off the front of the paths: {', '.join(located.cut[:SHOWN])}{more}")
    return "; ".join(parts) + "."

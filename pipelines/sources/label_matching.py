"""Match the rows of a labels file to images, with a one-line summary of the result."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from pipelines.errors import DataError
from pipelines.sources.label_paths import PathMatches, match_paths, match_paths_anywhere
from pipelines.sources.label_tables import ALIASES
from pipelines.sources.labels import LabelTable, find_contradictions, merge_duplicate_rows

MAX_EXAMPLES = 2  # examples in a message


def match_labels(table: LabelTable, paths: list[str], root: str = "") -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of existing images, with the images' paths, and sentences on what was read and matched.

    `paths`: of the images, relative to `root`. Raises DataError if no row matches an image, or two rows contradict
    each other.
    """
    column, matches = find_matches(table, paths, root)
    text = table.rows[column]
    image = text.map(matches.images)
    rows = table.rows.drop(columns=list(table.path_names)).assign(path=image)
    rows = rows[image.notna()].drop_duplicates()
    if faults := find_contradictions(rows, table.file):
        raise DataError(faults)
    rows = merge_duplicate_rows(rows)
    rows = rows[[name for name in ALIASES if name in rows]]
    return rows, [_summarize(table, column, matches, rows, text[image.isna()], paths), *table.notes]


def find_matches(table: LabelTable, paths: Collection[str], root: str = "") -> tuple[str, PathMatches]:
    """Return the column of paths that matches the most images, and the images that it matches.

    Raises DataError if no row matches an image, or if a bare name matches several.
    """
    all_images = dict.fromkeys(paths)
    candidates = {}
    for column in table.path_names:
        texts = table.rows[column].dropna().unique()
        spans = column in table.spanning_columns
        candidates[column] = match_paths_anywhere(texts, all_images) if spans else match_paths(texts, all_images, root)
        if len(candidates[column].images) == len(texts) > 0:
            break
    column = max(candidates, key=lambda name: (len(candidates[name].images), -len(candidates[name].ambiguous)))
    _require_common(table, candidates[column], table.rows[column], all_images)
    return column, candidates[column]


def _require_common(table: LabelTable, matches: PathMatches, text: pd.Series, all_images: Collection[str]) -> None:
    """Raise DataError if no row matches an image, or a bare name matches several images."""
    if matches.by_name and matches.ambiguous:
        path, images = next(iter(matches.ambiguous.items()))
        raise DataError(
            f"{table.file}: {path!r} matches {len(images):,} images, such as "
            f"{' and '.join(sorted(images)[:MAX_EXAMPLES])}. Write paths with their folders."
        )
    if not matches.images and len(text) and all_images:
        raise DataError(
            f"{table.file}: none of its {len(text):,} paths is among the {len(all_images):,} images found, first "
            f"{text.dropna().iloc[0]!r}. Paths are relative to the folder of images, such as {min(all_images)!r}; "
            "leading folders may be added or missing."
        )


def _summarize(
    table: LabelTable, column: str, matches: PathMatches, rows: pd.DataFrame, missing: pd.Series, paths: list[str]
) -> str:
    """Return one line: which column was read as what, and how many images have a label."""
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
    if matches.folded:
        parts.append(f"{len(matches.folded):,} rows match only if case is ignored, first {matches.folded[0]}")
    if matches.ambiguous:
        path, images = next(iter(matches.ambiguous.items()))
        parts.append(
            f"{len(matches.ambiguous):,} rows match several images that differ only in case, first {path} "
            f"({' and '.join(sorted(images)[:MAX_EXAMPLES])})"
        )
    if matches.prefixes:
        more = f" and {len(matches.prefixes) - MAX_EXAMPLES:,} others" if len(matches.prefixes) > MAX_EXAMPLES else ""
        parts.append(f"prefixes removed from the paths: {', '.join(matches.prefixes[:MAX_EXAMPLES])}{more}")
    return "; ".join(parts) + "."

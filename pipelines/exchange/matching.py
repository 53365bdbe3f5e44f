"""Match the rows of an imported file to the images of the workspace: one label for each image."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from pipelines.errors import DataError
from pipelines.exchange.formats.base import Imported
from pipelines.label_text import canonical_text
from pipelines.sources.label_matching import find_matches
from pipelines.sources.labels import LabelTable, find_contradictions, normalize_path

CANNOT_TELL = "(cannot tell)"  # the label of a row with is_unknown, while labels are compared
NO_LABEL = "without a label"
COLUMNS = ("label", "is_unknown", "reviewer", "reviewed_at", "comment", "is_machine")


@dataclass(frozen=True)
class MatchedLabels:
    """Rows of relative_path, label (null: cannot tell), reviewer, reviewed_at (text), comment, is_machine.

    They may have station and captured_at. `ignored`: rows of a model, unless they were asked for.
    """

    rows: pd.DataFrame
    unmatched: list[str]
    left_out: Counter[str]
    ignored: int


@dataclass(frozen=True)
class MatchedBoxes:
    """Path in the file -> relative path of an image, and the paths without one."""

    images: dict[str, str] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)


def match_rows(imported: Imported, file: str, images: Sequence[str], root: str, with_machine: bool) -> MatchedLabels:
    """Return one row for each image that the file has a label for: the newest, a person's before a model's.

    `images`: relative paths. Raises DataError if no row matches, or if rows of an image contradict each other.
    """
    rows, left_out, ignored = _clean(imported, with_machine)
    if not len(rows):
        return MatchedLabels(rows.assign(relative_path=None), [], left_out, ignored)
    columns = [name for name in rows if re.fullmatch(r"path(_\d+)?", name)]
    names = {name: imported.path_names.get(name, name) for name in columns}
    table = LabelTable(file, imported.program, rows, {}, names, imported.spanning_columns, ())
    column, matches = find_matches(table, images, root)
    image = rows[column].map(matches.images)
    unmatched = list(dict.fromkeys(rows[column][image.isna()].fillna("(no path)")))
    rows = _choose_rows(rows.drop(columns=columns).assign(path=image)[image.notna()])
    if faults := find_contradictions(rows[["path", "label"]], file):
        raise DataError(faults)
    rows = rows.drop_duplicates("path").rename(columns={"path": "relative_path"})
    rows["label"] = rows["label"].mask(rows["label"] == CANNOT_TELL, None)
    times = rows["reviewed_at"]
    rows["reviewed_at"] = [None if pd.isna(time) else pd.Timestamp(time).isoformat() for time in times]
    return MatchedLabels(rows.astype(object).where(rows.notna(), None), unmatched, left_out, ignored)


def match_boxes(paths: Sequence[str], imported: Imported, file: str, images: Sequence[str], root: str) -> MatchedBoxes:
    """Match the paths of boxes to images. Raises DataError if none matches."""
    if not paths:
        return MatchedBoxes()
    forms = {"path": list(paths)}
    if imported.other_path:
        forms["path_1"] = [imported.other_path(path) for path in paths]
    texts = {name: [normalize_path(path.strip()) for path in form] for name, form in forms.items()}
    rows, names = pd.DataFrame(texts, dtype=object), dict.fromkeys(forms, "path")
    column, matches = find_matches(LabelTable(file, imported.program, rows, {}, names, frozenset(), ()), images, root)
    chosen = zip(paths, texts[column], strict=True)
    found = {path: matches.images[text] for path, text in chosen if text in matches.images}
    return MatchedBoxes(found, [path for path in paths if path not in found])


def _clean(imported: Imported, with_machine: bool) -> tuple[pd.DataFrame, Counter[str], int]:
    """Return the rows with a label or `cannot tell`, with all of COLUMNS; what was left out; a model's rows."""
    left_out: Counter[str] = Counter()
    rows = pd.DataFrame(columns=["path"]) if imported.labels is None else imported.labels.copy()
    for name in COLUMNS:
        if name not in rows:
            rows[name] = pd.Series(None, index=rows.index, dtype=object)
    for name in ("is_unknown", "is_machine"):
        rows[name] = rows[name].isin([True])
    rows["label"] = rows["label"].where(rows["label"].notna(), None).map(canonical_text, na_action="ignore")
    rows["label"] = rows["label"].mask(rows["label"].isna() & rows["is_unknown"], CANNOT_TELL)
    has_label = rows["label"].notna()
    if count := int((~has_label).sum()):
        left_out[NO_LABEL] = count
    rows = rows[has_label]
    ignored = 0 if with_machine else int(rows["is_machine"].sum())
    rows = rows if with_machine else rows[~rows["is_machine"]]
    for name in rows:
        if re.fullmatch(r"path(_\d+)?", name):
            rows = rows.assign(**{name: rows[name].map(lambda text: normalize_path(text.strip()), na_action="ignore")})
    return rows.reset_index(drop=True), left_out, ignored


def _choose_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return of each image a person's rows, if there are any, and of those the newest."""
    human = rows.groupby("path")["is_machine"].transform("min")
    rows = rows[rows["is_machine"] == human]
    times = pd.to_datetime(rows["reviewed_at"], utc=True)
    newest = times.groupby(rows["path"]).transform("max")
    return rows[newest.isna() | (times == newest)]

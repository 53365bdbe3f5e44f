"""Read COCO Camera Traps: images, categories and annotations in one JSON file, as LILA BC publishes its datasets."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipelines.errors import DataError
from pipelines.formatting import pluralize
from pipelines.label_text import canonical_text
from pipelines.sources.json_files import JsonFile

NONE, SEVERAL = -1, -2  # instead of the index of a label
BOXES, SEQUENCE_LEVEL = ("bbox", "bbox_relative"), "sequence_level_annotation"  # of an annotation
FLAGS = (*BOXES, SEQUENCE_LEVEL)
FIELDS = ("location", "datetime", "seq_id")  # of an image, as text


class Faults:
    """What is wrong with a file: each kind of fault once, with its count and the first case."""

    def __init__(self, file: object):
        self._file = file
        self._found: dict[str, tuple[int, object]] = {}

    def add(self, sentence: str, case: object) -> None:
        """Count a fault. `sentence` holds `{count}` and `{case}`."""
        count, first = self._found.get(sentence, (0, case))
        self._found[sentence] = count + 1, first

    def sentences(self) -> list[str]:
        return [
            f"{self._file}: {sentence.format(count=f'{count:,}', case=str(case)[:200])}"
            for sentence, (count, case) in self._found.items()
        ]

    def raise_any(self) -> None:
        """Raise DataError with all faults, if there are any."""
        if self._found:
            raise DataError(self.sentences())


@dataclass(frozen=True)
class CocoFile:
    """The images of a file, and what its annotations say about them.

    `images`: file_name, label (null: none, or several), has_several_labels, is_machine (the label has a score),
    location, datetime, seq_id, width and height (0: not in the file).
    """

    file: JsonFile
    images: pd.DataFrame
    positions: dict[str, int]  # id of an image -> its row
    categories: dict[str, str]  # id -> name
    has_boxes: bool
    has_sequence_labels: bool

    def annotations(self) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """Yield the row of the image, the name of the category, and the annotation."""
        for each in self.file.items("annotations"):
            yield self.positions[to_id(each["image_id"])], self.categories[to_id(each["category_id"])], each


def is_coco(file: JsonFile) -> bool:
    """Return whether a file is COCO, judged by its beginning."""
    start = file.beginning()
    if {"annotations", "categories"} <= set(start):
        return True
    image, annotation, category = (start.get(name) or {} for name in ("images", "annotations", "categories"))
    return any(
        isinstance(first, dict) and keys <= set(first)
        for first, keys in (
            (image, {"id", "file_name"}),
            (annotation, {"image_id", "category_id"}),
            (category, {"id", "name"}),
        )
    )


def read_coco(file: JsonFile) -> CocoFile:
    """Read images and labels. Raises DataError with every fault: what refers to nothing, or is there twice."""
    faults = Faults(file)
    categories = _read_categories(file, faults)
    images, positions = _read_images(file, faults)
    faults.raise_any()
    labels = sorted(set(categories.values()))
    index = {identifier: labels.index(name) for identifier, name in categories.items()}
    by_people, by_models, flags = _read_annotations(file, positions, index, faults)
    faults.raise_any()
    codes = pd.Series(by_people).where(pd.Series(by_people) != NONE, pd.Series(by_models))
    rows = images.assign(
        label=codes.map(dict(enumerate(labels))).astype(object).where(codes >= 0, None),
        has_several_labels=codes == SEVERAL,
        is_machine=(pd.Series(by_people) == NONE) & (codes != NONE),
    )
    return CocoFile(file, rows, positions, categories, bool(flags & set(BOXES)), SEQUENCE_LEVEL in flags)


def _read_categories(file: JsonFile, faults: Faults) -> dict[str, str]:
    categories: dict[str, str] = {}
    for each in file.items("categories"):
        name = canonical_text(str(each["name"])) if "name" in each else None
        if "id" not in each or name is None:
            faults.add("{count} categories have no id or no name, first {case}. Complete them.", each)
        elif categories.setdefault(to_id(each["id"]), name) != name:
            faults.add("{count} categories have the id of another one, first {case}. Give each its own.", each)
    return categories


def _read_images(file: JsonFile, faults: Faults) -> tuple[pd.DataFrame, dict[str, int]]:
    positions: dict[str, int] = {}
    names: list[str] = []
    sizes = array("i"), array("i")
    fields: dict[str, list[str]] = {name: [] for name in FIELDS}
    known: dict[str, str] = {}  # one object for each text: stations and sequences repeat
    for each in file.items("images"):
        name = each.get("file_name")
        if "id" not in each or not isinstance(name, str) or not name.strip():
            faults.add("{count} images have no id or no file_name, first {case}. Complete them.", each)
        elif positions.setdefault(to_id(each["id"]), len(names)) != len(names):
            faults.add("{count} images have the id of another one, first {case}. Give each its own.", name)
        else:
            names.append(name)
            for size, side in zip(sizes, ("width", "height"), strict=True):
                size.append(_to_pixels(each.get(side)))
            for field, values in fields.items():
                value = each.get(field)
                text = "" if value is None else str(value).strip()
                values.append(known.setdefault(text, text))
    rows = pd.DataFrame({"file_name": names, **fields}, dtype=object)
    return rows.assign(width=pd.Series(sizes[0], dtype="int32"), height=pd.Series(sizes[1], dtype="int32")), positions


def to_id(value: Any) -> str:
    """Return an id as text. Programs with missing values write 1 as 1.0 in one table and not in another."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _to_pixels(side: Any) -> int:
    is_number = isinstance(side, (int, float)) and not isinstance(side, bool)
    return int(side) if is_number and 0 < side < 2**31 else 0


def _read_annotations(
    file: JsonFile, positions: dict[str, int], index: dict[str, int], faults: Faults
) -> tuple[array[int], array[int], set[str]]:
    """Return the index of each image's label by people and by models, and which of FLAGS occur."""
    by_people, by_models = (array("i", [NONE]) * len(positions) for _ in range(2))
    flags: set[str] = set()
    for each in file.items("annotations"):
        position = positions.get(to_id(each.get("image_id")))
        label = index.get(to_id(each.get("category_id")))
        if position is None:
            faults.add("{count} annotations are of an image that is not in the file, first {case}.", each)
        elif label is None:
            faults.add("{count} annotations are of a category that is not in the file, first {case}.", each)
        else:
            labels = by_people if each.get("score") is None else by_models
            labels[position] = label if labels[position] in (NONE, label) else SEVERAL
            flags.update(name for name in FLAGS if each.get(name))
    return by_people, by_models, flags


def raw_cells(coco: CocoFile) -> tuple[pd.DataFrame, list[str]]:
    """Return the cells of a labels table, and sentences on what is not in it. Labels with a score are left out."""
    images, name = coco.images, coco.file.path.name
    notes, is_several, is_machine = [], images["has_several_labels"], images["is_machine"]
    if count := int(is_several.sum()):
        first = images["file_name"][is_several].iloc[0]
        notes.append(
            f"{name}: {pluralize(count, 'image')} with annotations of several categories treated as unlabelled, first "
            f"{first}."
        )
    if count := int(is_machine.sum()):
        notes.append(
            f"{name}: {pluralize(count, 'image')} with annotations that have a score treated as unlabelled: they are "
            "predictions of a model."
        )
    if coco.has_sequence_labels:
        notes.append(f"{name}: some annotations are of a sequence as a whole, of which single images may be empty.")
    label = images["label"].where(~is_machine, None).fillna("")
    columns = [images["file_name"], label, *(images[field] for field in FIELDS)]
    return pd.concat(columns, axis=1).set_axis(range(len(columns)), axis=1), notes

"""What a file of a detector says about each image, checked: labels, and rows of the table detections."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from pipelines.config.settings import LabelMeaning
from pipelines.exchange.formats.base import Imported
from pipelines.exchange.observation_types import UNKNOWN, find_meaning
from pipelines.label_text import canonical_text
from pipelines.sources.coco_json import Faults
from pipelines.sources.json_files import JsonFile
from pipelines.sources.labels import normalize_path

CHUNK_ROWS = 100_000  # boxes in memory at once
MAX_COORDINATE = 2.0  # larger values are no fractions of the image
FAILED = "images that the file lists as failed"
OUTSIDE = "outside their image"
CATEGORIES = {"human": "person", "vehicle": "vehicle"}  # by observation type; all others: animal
UNNAMED = "of a category that the file does not name"
COLUMNS = ("path", "number", "category", "score", "x", "y", "width", "height", "label", "label_score", "detector")


class Box(NamedTuple):
    """A box within the image, in fractions of its width and height."""

    category: str
    score: float | None
    x: float
    y: float
    width: float
    height: float
    label: str | None = None
    label_score: float | None = None


@dataclass
class ImageBoxes:
    """What a file says about one image, and how many of its labels and boxes are left out, by reason.

    `boxes` is null if no detector has processed the image, and empty if it found nothing.
    """

    path: str
    detector: str | None = None
    boxes: list[Box] | None = None
    label: str | None = None
    is_person: bool = False  # whether a person has given the label
    left_out: Counter[str] = field(default_factory=Counter)  # labels
    boxes_left_out: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(
        self, values: Any, category: str | None, score: Any, label: str | None = None, label_score: Any = None
    ) -> None:
        """Add a box [x, y, width, height], or count why it is none."""
        try:
            edges = clip(values)
            confidences = [to_confidence(score), to_confidence(label_score)]
        except (TypeError, ValueError) as error:
            self.faults.append(str(error))
            return
        if category is None:
            self.boxes_left_out[UNNAMED] += 1
        elif edges is None:
            self.boxes_left_out[OUTSIDE] += 1
        else:
            self.boxes = self.boxes or []
            self.boxes.append(Box(category, confidences[0], *edges, label, confidences[1]))

    def best(self) -> Box | None:
        """Return the box with the highest score."""
        return max(self.boxes, key=lambda box: box.score or 0.0) if self.boxes else None


def to_confidence(value: Any) -> float | None:
    """Return a confidence in [0, 1], or null. Raises ValueError."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1.0001:
        raise ValueError(f"a confidence should be a number in [0, 1], not {str(value)[:40]}")
    return min(float(value), 1.0)


def clip(box: Any) -> tuple[float, float, float, float] | None:
    """Return the part of a box [x, y, width, height] within the image; null if there is none.

    Detectors round, so that boxes reach over the edge. Raises ValueError for what is no box in fractions of the image.
    """
    is_box = isinstance(box, list) and len(box) == 4
    if not is_box or not all(type(value) in (int, float) and math.isfinite(value) for value in box):
        raise ValueError(f"a box should be four numbers [x, y, width, height], not {str(box)[:40]}")
    if max(map(abs, box)) > MAX_COORDINATE:
        raise ValueError(f"a box should be in fractions of the image, not in pixels such as {box}")
    x, y, width, height = map(float, box)
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + width, 1.0), min(y + height, 1.0)
    return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def build_import(program: str, file: JsonFile, images: Callable[[], Iterator[ImageBoxes]]) -> Imported:
    """Read all images once and return their labels; the boxes are read again when they are written.

    Raises DataError with every fault: of a file with faults nothing is imported.
    """
    faults, left_out, boxes_left_out = Faults(file), Counter[str](), Counter[str]()
    paths: list[str] = []
    labels: list[str | None] = []
    is_person: list[bool] = []
    for image in images():
        for fault in image.faults:
            faults.add("{count} boxes are wrong, first of {case}.", f"{image.path}: {fault}")
        left_out.update(image.left_out)
        boxes_left_out.update(image.boxes_left_out)
        paths.append(image.path)
        labels.append(image.label)
        is_person.append(image.is_person)
    add_duplicates(faults, paths)
    faults.raise_any()
    rows = label_rows(paths, labels, is_person)
    return Imported(program, rows, lambda: chunk_images(images()), left_out, boxes_left_out)


def add_duplicates(faults: Faults, paths: Iterable[str]) -> None:
    """Add a fault for each path that is another one too, as `S1\\a.jpg` is `S1/a.jpg`."""
    known = pd.Series(paths, dtype=object)
    for path in known[known.map(lambda path: normalize_path(path.strip())).duplicated()]:
        faults.add("{count} images are there twice, first {case}. Keep one entry for each.", path)


def label_rows(paths: Iterable[str], labels: Iterable[str | None], is_person: Iterable[bool]) -> pd.DataFrame:
    """Return the labels of an import, without images that have none."""
    rows = pd.DataFrame({"path": paths, "label": labels}, dtype=object)
    rows = rows.assign(is_machine=[not each for each in is_person], is_unknown=rows["label"].str.lower() == UNKNOWN)
    rows = rows[rows["label"].notna()]
    return rows.assign(label=rows["label"].mask(rows["is_unknown"], None)).reset_index(drop=True)


def chunk_images(images: Iterable[ImageBoxes]) -> Iterator[pd.DataFrame]:
    """Yield the boxes of images in chunks."""
    return chunk_boxes(row for image in images for row in _rows(image))


def chunk_spread_boxes(images: Iterable[ImageBoxes]) -> Iterator[pd.DataFrame]:
    """Yield the boxes in chunks; those of one image may be in several places of the file."""
    counts = Counter[str]()

    def rows() -> Iterator[tuple[Any, ...]]:
        for image in images:
            for box in image.boxes or ():
                yield image.path, counts[image.path], *box, image.detector
                counts[image.path] += 1

    return chunk_boxes(rows())


def _rows(image: ImageBoxes) -> Iterator[tuple[Any, ...]]:
    if image.boxes == []:
        yield image.path, -1, *[None] * len(Box._fields), image.detector
    for number, box in enumerate(image.boxes or []):
        yield image.path, number, *box, image.detector


def chunk_boxes(rows: Iterable[tuple[Any, ...]]) -> Iterator[pd.DataFrame]:
    """Yield rows of the table detections in chunks, with what is known before the images are matched."""
    chunk: list[tuple[Any, ...]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK_ROWS:
            yield pd.DataFrame(chunk, columns=list(COLUMNS))
            chunk = []
    if chunk:
        yield pd.DataFrame(chunk, columns=list(COLUMNS))


def category_of(label: str, meanings: Mapping[str, LabelMeaning]) -> str:
    """Return the category of a box with a label: animal, person or vehicle."""
    return CATEGORIES.get(find_meaning(label, meanings)[0], "animal")


def clean(text: Any) -> str | None:
    """Return a name in the form of labels, or null."""
    return None if text is None else canonical_text(str(text))

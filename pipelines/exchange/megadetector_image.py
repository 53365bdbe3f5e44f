"""The object of one image in results of MegaDetector: boxes, with the labels of irbis as their classifications."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.exchange.observation_types import UNKNOWN

CATEGORIES = {"1": "animal", "2": "person", "3": "vehicle"}
CATEGORY_OF_TYPE = {"human": "2", "vehicle": "3"}  # all others: animal
BLANK = "blank"
LABEL, LABEL_SOURCE = "label", "label_source"  # keys of irbis, which other programs ignore
FROM_MODEL = "model"  # a label_source beside those of images
WHOLE_IMAGE = (0.0, 0.0, 1.0, 1.0)
MIN_CONFIDENCE = 0.031  # Timelapse drops what is lower, and rounds to three decimals
MAX_CLASSES = 5  # of an image
MIN_PROBABILITY = 0.001  # of all but the first
Ranking = list[tuple[str, float]]  # labels with their probabilities, the first one is that of the image


@dataclass(frozen=True)
class Ids:
    """Ids in the file, by name: of classes and of categories of boxes. `types`: observation types of both."""

    classes: Mapping[str, str]
    categories: Mapping[str, str]
    types: Mapping[str, str]

    def category_of(self, name: str) -> str:
        """Return the category of MegaDetector for a label or a category of boxes."""
        return CATEGORY_OF_TYPE.get(self.types[name], "1")


def number_categories(names: Iterable[str]) -> dict[str, str]:
    """Return the id of each category of boxes. Those of MegaDetector have its ids; the others follow."""
    own = {name: number for number, name in CATEGORIES.items()}
    others = [name for name in sorted(names) if name.casefold() not in own]
    known = {name: own[name.casefold()] for name in names if name.casefold() in own}
    return own | known | {name: str(number) for number, name in enumerate(others, len(own) + 1)}


def number_classes(names: Iterable[str], categories: Iterable[str]) -> dict[str, str]:
    """Return the id of each class. Those with the name of a category come last; none if there are no others."""
    taken = {name.casefold() for name in categories}
    ordered = sorted(names, key=lambda name: (name.casefold() in taken, name))
    if not ordered or ordered[0].casefold() in taken:
        return {}
    return {name: str(number) for number, name in enumerate(ordered, 1)}


def format_image(row: Mapping[str, Any], ids: Ids) -> dict[str, Any]:
    """Return the object of an image.

    Its label or prediction classifies the boxes of its category. Without such a box it gets one around the whole
    image, whose confidence is the probability that the image is not blank.
    """
    result: dict[str, Any] = {"file": row["relative_path"]}
    ranked = _rank(row)
    boxes = row["boxes"] or ()
    detections = [_format_box(box, ids) for box in boxes]
    if not ranked and not detections:
        return {**result, "detections": None, "failure": row["failure"]}
    result["detections"] = detections
    if not ranked:
        return result
    name = ranked[0][0]
    category = ids.category_of(name)
    classified = [
        detection
        for detection, box in zip(detections, boxes, strict=True)
        if ids.category_of(box["category"]) == category
    ]
    if not classified:
        confidence = to_confidence(_presence(row, ranked, ids.types))
        classified = [{"category": ids.categories.get(name, category), "conf": confidence, "bbox": list(WHOLE_IMAGE)}]
        detections += classified
    if ids.classes:
        (_, first), *others = ranked
        classes = [[ids.classes[name], to_confidence(first)]]
        classes += [[ids.classes[label], round(p, 5)] for label, p in others]
        for detection in classified:
            detection["classifications"] = classes
    return result | {LABEL: name, LABEL_SOURCE: row["label_source"] or FROM_MODEL}


def to_confidence(value: float) -> float:
    """Return a confidence that Timelapse does not drop."""
    return round(min(max(float(value), MIN_CONFIDENCE), 1.0), 5)


def _format_box(box: Mapping[str, Any], ids: Ids) -> dict[str, Any]:
    """Return a detection. Boxes without a score were drawn by a person."""
    score = 1.0 if box["score"] is None else box["score"]
    edges = [round(float(box[name]), 5) for name in ("x", "y", "width", "height")]
    return {"category": ids.categories[box["category"]], "conf": to_confidence(score), "bbox": edges}


def _rank(row: Mapping[str, Any]) -> Ranking:
    """Return the label in force alone, else the prediction and the next labels; empty if there is neither.

    The prediction may be that of the burst: then it comes first all the same, and no other label is above it.
    """
    if row["label"] is not None:
        return [(row["label"], 1.0)]
    if row["is_unknown"]:
        return [(UNKNOWN, 1.0)]
    if row["prediction"] is None:
        return []
    name, score = row["prediction"], row["score"]
    others = sorted(((p, label) for label, p in _others(row).items()), reverse=True)[: MAX_CLASSES - 1]
    return [(name, score), *((label, min(p, score)) for p, label in others if p >= MIN_PROBABILITY)]


def _others(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the probabilities of all labels but the prediction."""
    return {label: p for label, p in dict(row["probabilities"] or ()).items() if label != row["prediction"]}


def _presence(row: Mapping[str, Any], ranked: Ranking, types: Mapping[str, str]) -> float:
    """Return the probability that the image is not blank."""
    name, score = ranked[0]
    if types[name] == BLANK:
        return 1 - score
    if row["label"] is not None or row["is_unknown"]:
        return 1.0
    return max(score, 1 - sum(p for label, p in _others(row).items() if types[label] == BLANK))

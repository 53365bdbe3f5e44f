"""Write results as those of MegaDetector: a box around each whole image, with the probabilities of its labels.

Timelapse drops boxes and classifications below two fifths of the thresholds in the file, and everything below 0.03. It
takes a file whose first class has the name of a category for one of AddaxAI, and shows no classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from pyspark.sql import functions as F

from pipelines.exchange.formats.base import Export, Exported
from pipelines.exchange.json_lines import (
    KIND,
    PEOPLE,
    Answers,
    answer,
    count_kinds,
    find_answers,
    open_object,
    select_exported,
    to_lines,
)
from pipelines.exchange.observation_types import UNKNOWN
from pipelines.exchange.write import write_lines
from pipelines.formatting import pluralize

FILE = "timelapse_recognition_file.json"  # Timelapse warns of image_recognition_file.json
CATEGORIES = {"1": "animal", "2": "person", "3": "vehicle"}
CATEGORY_OF_TYPE = {"human": "2", "vehicle": "3"}  # all others: animal
BLANK = "blank"
LABEL_SOURCE = "label_source"  # a key of irbis, which other programs ignore: the label is a person's
MIN_CONFIDENCE = 0.031  # Timelapse drops what is lower, and rounds to three decimals
THRESHOLDS = {"typical_detection_threshold": 0.2, "conservative_detection_threshold": 0.05}
CLASS_THRESHOLDS = {"typical_classification_threshold": 0.05}
MAX_CLASSES = 5  # of an image
MIN_PROBABILITY = 0.001  # of all but the first
IMAGES, FAILED, UNANSWERED = "images", "failed images", "images without a label or prediction"
COLUMNS = ("relative_path", "label", "label_source", "is_unknown", "failure", "prediction", "score", "probabilities")
JPEG = r"(?i)\.jpe?g$"


def export(source: Export) -> Exported:
    """Write one file for all images that have a label, a prediction or a failure."""
    answers = find_answers(source.rows, source.settings.export.labels)
    kinds = {
        IMAGES: answer().isNotNull(),
        FAILED: F.col("failure").isNotNull(),
        UNANSWERED: F.lit(True),
    }
    rows = select_exported(source, answers, kinds)
    counts = count_kinds(rows)
    rows = rows.where(F.col(KIND).isin(IMAGES, FAILED))
    classes = number_classes(answers)
    lines = to_lines(rows.select(*COLUMNS), partial(format_image, classes=classes, types=dict(answers.types)))
    path = source.folder / FILE
    header = open_object(_header(answers.model, classes, source.created_at), "images")
    write_lines(lines, path, header, "\n ]\n}\n", ",\n")
    others = rows.where(~F.col("relative_path").rlike(JPEG)).count()
    result = Exported([path])
    result.written.update({kind: counts[kind] for kind in (FAILED, IMAGES) if counts[kind] or kind == IMAGES})
    result.left_out.update({kind: counts[kind] for kind in (PEOPLE, UNANSWERED) if counts[kind]})
    if others:
        result.notes.append(f"Timelapse shows nothing of {pluralize(others, 'image')} not named .jpg or .jpeg.")
    return result


def _header(model: str, classes: Mapping[str, str], created_at: datetime) -> dict[str, Any]:
    at = f"{created_at:%Y-%m-%d %H:%M:%S}"
    header: dict[str, Any] = {
        "info": {
            "format_version": "1.6",
            "detector": model,
            "detection_completion_time": at,
            "detector_metadata": THRESHOLDS,
        },
        "detection_categories": CATEGORIES,
    }
    if classes:
        header["info"] |= {
            "classifier": model,
            "classification_completion_time": at,
            "classifier_metadata": CLASS_THRESHOLDS,
        }
        header["classification_categories"] = {number: name for name, number in classes.items()}
    return header


def number_classes(answers: Answers) -> dict[str, str]:
    """Return the number of each class. Those with the name of a category come last; none if there are no others."""
    categories = set(CATEGORIES.values())
    names = sorted(answers.names, key=lambda name: (name.casefold() in categories, name))
    if not names or names[0].casefold() in categories:
        return {}
    return {name: str(number) for number, name in enumerate(names, 1)}


def format_image(row: Mapping[str, Any], classes: Mapping[str, str], types: Mapping[str, str]) -> dict[str, Any]:
    """Return the object of an image. Its confidence is the probability that the image is not blank."""
    result: dict[str, Any] = {"file": row["relative_path"]}
    probabilities, is_blank = dict(row["probabilities"] or ()), _is_blank(types)
    if row["label"] is not None:
        name, confidence, ranked = row["label"], 0.0 if is_blank(row["label"]) else 1.0, [(row["label"], 1.0)]
    elif row["is_unknown"]:
        name, confidence, ranked = UNKNOWN, 1.0, [(UNKNOWN, 1.0)]
    elif row["prediction"] is not None:
        name = row["prediction"]
        confidence, ranked = _rank(name, row["score"], probabilities, is_blank)
    else:
        return {**result, "detections": None, "failure": row["failure"]}
    category = CATEGORY_OF_TYPE.get(types[name], "1")
    detection: dict[str, Any] = {"category": category, "conf": _to_confidence(confidence), "bbox": [0.0, 0.0, 1.0, 1.0]}
    if classes:
        (first, confidence), *others = ranked
        detection["classifications"] = [
            [classes[first], _to_confidence(confidence)],
            *[[classes[label], round(p, 5)] for label, p in others],
        ]
    result["detections"] = [detection]
    if row["label"] is not None or row["is_unknown"]:
        result[LABEL_SOURCE] = row["label_source"]
    return result


def _is_blank(types: Mapping[str, str]) -> Callable[[str], bool]:
    return lambda name: types[name] == BLANK


def _rank(
    name: str, score: float, probabilities: Mapping[str, float], is_blank: Callable[[str], bool]
) -> tuple[float, list[tuple[str, float]]]:
    """Return the probability that the image is not blank, and the most probable labels in descending order.

    The model's answer may be that of the burst: then it comes first all the same, and no other label is above it.
    """
    others = sorted(((p, label) for label, p in probabilities.items() if label != name), reverse=True)
    ranked = [
        (name, score),
        *((label, min(p, score)) for p, label in others[: MAX_CLASSES - 1] if p >= MIN_PROBABILITY),
    ]
    if is_blank(name):
        return 1 - score, ranked
    return max(score, 1 - sum(p for p, label in others if is_blank(label))), ranked


def _to_confidence(value: float) -> float:
    return round(min(max(float(value), MIN_CONFIDENCE), 1.0), 5)

"""Write results as those of MegaDetector: the boxes that were imported, else one around the whole image.

The labels and predictions of irbis are the classifications of these boxes. Timelapse drops boxes and classifications
below two fifths of the thresholds in the file, and everything below 0.03. It takes a file whose first class has the
name of a category for one of AddaxAI, and shows no classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.exchange.formats.base import Export, Exported
from pipelines.exchange.json_lines import (
    KIND,
    PEOPLE,
    count_kinds,
    exported_name,
    find_names,
    open_object,
    select_exported,
    to_lines,
)
from pipelines.exchange.megadetector_image import CATEGORIES, Ids, format_image, number_categories, number_classes
from pipelines.exchange.observation_types import find_meaning
from pipelines.formatting import pluralize
from pipelines.spark.local_files import write_lines

FILE = "timelapse_recognition_file.json"  # Timelapse warns of image_recognition_file.json
THRESHOLDS = {"typical_detection_threshold": 0.2, "conservative_detection_threshold": 0.05}
CLASS_THRESHOLDS = {"typical_classification_threshold": 0.05}
IMAGES, FAILED, NEITHER = "images", "failed images", "images without a label, prediction or box"
COLUMNS = ("relative_path", "label", "label_source", "is_unknown", "failure", "prediction", "score", "probabilities")
JPEG = r"(?i)\.jpe?g$"


def export(source: Export) -> Exported:
    """Write one file for all images that have a label, a prediction, a box or a failure."""
    settings = source.settings.export
    labels = find_names(source.rows, settings.labels)
    path = source.folder / FILE
    result = Exported([path])
    with _with_boxes(source) as rows:
        categories, detectors = _find_categories(rows) if source.boxes is not None else ([], [])
        types = {name: find_meaning(name, settings.labels)[0] for name in {*categories, *CATEGORIES.values()}}
        ids = Ids(
            number_classes(labels.names, [*categories, *CATEGORIES.values()]),
            number_categories(categories),
            {**types, **labels.types},
        )
        kinds = {
            IMAGES: exported_name().isNotNull() | F.col("boxes").isNotNull(),
            FAILED: F.col("failure").isNotNull(),
            NEITHER: F.lit(True),
        }
        people = _shows([name for name in categories if types[name] == "human"])
        rows = select_exported(rows, settings, labels, kinds, people)
        counts = count_kinds(rows)
        rows = rows.where(F.col(KIND).isin(IMAGES, FAILED))
        header = open_object(_header(labels.model, detectors, ids, source.created_at), "images")
        lines = to_lines(rows.select(*COLUMNS, "boxes"), partial(format_image, ids=ids))
        write_lines(lines, path, header, "\n ]\n}\n", ",\n")
        if detectors:
            result.notes.append(_note_boxes(rows.where("boxes is not null").count(), detectors))
        if others := rows.where(~F.col("relative_path").rlike(JPEG)).count():
            result.notes.append(f"Timelapse shows nothing of {pluralize(others, 'image')} not named .jpg or .jpeg.")
    result.written.update({kind: counts[kind] for kind in (FAILED, IMAGES) if counts[kind] or kind == IMAGES})
    result.left_out.update({kind: counts[kind] for kind in (PEOPLE, NEITHER) if counts[kind]})
    return result


@contextmanager
def _with_boxes(source: Export) -> Iterator[DataFrame]:
    """Yield the rows with `boxes` and `detector`, which are null where an image has no boxes, in their order."""
    if source.boxes is None:
        nothing = {"boxes": "array<struct<category: string>>", "detector": "string"}
        yield source.rows.select("*", *[F.lit(None).cast(kind).alias(name) for name, kind in nothing.items()])
        return
    rows = source.rows.join(source.boxes, "content_hash", "left").orderBy("relative_path")
    rows = rows.persist(StorageLevel.DISK_ONLY)
    try:
        yield rows
    finally:
        rows.unpersist()


def _find_categories(rows: DataFrame) -> tuple[list[str], list[str]]:
    """Return the categories of all boxes, and the names of their detectors."""
    found = rows.select(F.explode("boxes.category").alias("category"), "detector").distinct().collect()
    detectors = {row["detector"] or "an unnamed detector" for row in found}
    return sorted({row["category"] for row in found}), sorted(detectors)


def _shows(categories: Sequence[str]) -> Column:
    """Return whether an image has a box of one of the categories, of at least the typical confidence."""

    def is_certain(box: Column) -> Column:
        score = F.coalesce(box["score"], F.lit(1.0))
        return box["category"].isin(list(categories)) & (score >= THRESHOLDS["typical_detection_threshold"])

    return F.exists("boxes", is_certain) if categories else F.lit(False)


def _note_boxes(count: int, detectors: Sequence[str]) -> str:
    return (
        f"{pluralize(count, 'image')} with the boxes of {', '.join(detectors)}; the others have one around the whole "
        "image."
    )


def _header(model: str, detectors: Sequence[str], ids: Ids, created_at: datetime) -> dict[str, Any]:
    at = f"{created_at:%Y-%m-%d %H:%M:%S}"
    more = {number: name for name, number in ids.categories.items() if number not in CATEGORIES}
    header: dict[str, Any] = {
        "info": {
            "format_version": "1.6",
            "detector": ", ".join([*detectors, model]),
            "detection_completion_time": at,
            "detector_metadata": THRESHOLDS,
        },
        "detection_categories": CATEGORIES | more,
    }
    if ids.classes:
        header["info"] |= {
            "classifier": model,
            "classification_completion_time": at,
            "classifier_metadata": CLASS_THRESHOLDS,
        }
        header["classification_categories"] = {number: name for name, number in ids.classes.items()}
    return header

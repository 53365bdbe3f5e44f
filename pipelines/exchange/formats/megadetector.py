"""Results of MegaDetector: written in version 1.6 for Timelapse and AddaxAI, read in versions 1.0 to 1.6."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.evaluation.review_policy import is_blank
from pipelines.exchange.boxes import FAILED, ImageBoxes, build_import, clean
from pipelines.exchange.formats.base import Format, Imported
from pipelines.exchange.megadetector_image import BLANK, CATEGORIES, LABEL, LABEL_SOURCE
from pipelines.exchange.write_megadetector import export
from pipelines.sources.json_files import JsonFile
from pipelines.workspace.labels import FROM_PERSON, FROM_SOURCE

TITLE = "MegaDetector"
VERSIONS = re.compile(r"1(\.[0-6])?")
MEMBERS = ("info", "detection_categories", "classification_categories")
OLD_DETECTOR = re.compile(r"v[234]\b", re.IGNORECASE)  # gave higher confidences than later ones
THRESHOLDS = 0.8, 0.2  # typical confidence of an animal: of old detectors and of later ones


@dataclass(frozen=True)
class Header:
    """What a file says once: names by id, the detector, and the confidence from which on it has found something."""

    categories: dict[str, str]
    classes: dict[str, str]
    detector: str | None
    threshold: float
    faults: list[str] = field(default_factory=list)


def matches(path: Path) -> bool:
    """Return whether the beginning of a file is that of MegaDetector's results."""
    start = JsonFile(path).beginning()
    image = start.get("images")
    return "detection_categories" in start or (isinstance(image, dict) and "file" in image and "detections" in image)


def read(path: Path, settings: Settings) -> Imported:
    """Read labels and boxes. A label is a prediction, unless irbis has written that it is a person's.

    Raises DataError with every fault.
    """
    file = JsonFile(path)
    header = read_header(file)
    return build_import(TITLE, file, lambda: (_read_image(each, header) for each in _with_name(file)))


def read_header(file: JsonFile) -> Header:
    """Return the header. Raises DataError if the file is of another version."""
    members = file.members(MEMBERS)
    info = members.get("info") or {}
    for name in MEMBERS:
        if not isinstance(members.get(name) or {}, dict):
            raise DataError(f"{file}: {name} should be an object, not {str(members[name])[:80]!r}.")
    version = str(info.get("format_version", "1.0")).strip()
    if not VERSIONS.fullmatch(version):
        raise DataError(
            f"{file} has the format version {version!r}. irbis reads 1.0 to 1.6: write the file again in version 1.6."
        )
    detector = clean(info.get("detector"))
    metadata = info.get("detector_metadata")
    typical = metadata.get("typical_detection_threshold") if isinstance(metadata, dict) else None
    if not isinstance(typical, (int, float)) or isinstance(typical, bool) or not 0 <= typical <= 1:
        # without a name of the detector, it was version 4
        typical = THRESHOLDS[0] if detector is None or OLD_DETECTOR.search(detector) else THRESHOLDS[1]
    categories = _names(members.get("detection_categories")) or CATEGORIES
    return Header(categories, _names(members.get("classification_categories")), detector, float(typical))


def _names(by_id: Mapping[str, Any] | None) -> dict[str, str]:
    return {str(key): name for key, text in (by_id or {}).items() if (name := clean(text))}


def _with_name(file: JsonFile) -> Iterator[dict[str, Any]]:
    for number, image in enumerate(file.items("images")):
        if not isinstance(image.get("file"), str) or not image["file"].strip():
            raise DataError(f"{file}: image {number} has no file: {str(image)[:100]}. Complete or remove it.")
        yield image


def _read_image(image: Mapping[str, Any], header: Header) -> ImageBoxes:
    result = ImageBoxes(image["file"], header.detector)
    detections = image.get("detections")
    if "frame_rate" in image:
        result.left_out["videos"] += 1
    elif image.get("failure") or detections is None:
        result.left_out[FAILED] += 1
    elif not isinstance(detections, list) or not all(isinstance(each, dict) for each in detections):
        result.faults.append(f"detections should be a list of objects, not {str(detections)[:80]}")
    else:
        result.boxes = []
        for each in detections:
            _add_box(result, each, header)
        own = clean(image.get(LABEL)) if image.get(LABEL_SOURCE) else None  # irbis has written the file
        result.label = own or _find_label(result, header.threshold)
        result.is_person = image.get(LABEL_SOURCE) in (FROM_PERSON, FROM_SOURCE)
    return result


def _add_box(image: ImageBoxes, detection: Mapping[str, Any], header: Header) -> None:
    category = header.categories.get(str(detection.get("category")))
    if category is not None and is_blank(category):
        return  # some programs write a box of the category `empty` where there is none
    classes = detection.get("classifications") or []
    if not isinstance(classes, list) or not all(isinstance(each, list) and len(each) == 2 for each in classes):
        image.faults.append(f"classifications should be a list of pairs, not {str(classes)[:80]}")
        return
    known = [(header.classes.get(str(key)), score) for key, score in classes]
    label, score = known[0] if known else (None, None)
    image.add(detection.get("bbox"), category, detection.get("conf"), label, score if label else None)


def _find_label(image: ImageBoxes, threshold: float) -> str:
    """Return the label of the box with the highest confidence, its category, or `blank`."""
    best = image.best()
    if best is None:
        return BLANK
    if best.label and is_blank(best.label):
        return best.label
    return (best.label or best.category) if (best.score or 0) >= threshold else BLANK


FORMAT = Format("megadetector", "MegaDetector results (Timelapse, AddaxAI)", export, matches, read)

"""Label Studio: JSON and JSON-MIN exports of a project with choices or boxes (import only)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import pandas as pd

from pipelines.config.settings import LabelMeaning, Settings
from pipelines.errors import DataError
from pipelines.exchange.boxes import ImageBoxes, category_of, chunk_spread_boxes, clean
from pipelines.exchange.formats.base import Format, Imported
from pipelines.sources.coco_json import Faults
from pipelines.sources.json_files import JsonFile
from pipelines.sources.label_times import YEARS

TITLE = "Label Studio"
COLUMNS = ("path", "path_1", "label", "reviewer", "reviewed_at")
IMAGE_KEYS = ("image", "img", "url")  # of a task's data, as the templates name it
MIN_KEYS = {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement"}  # of JSON-MIN
UPLOADED = re.compile(r"(?:.*/)?upload/(?:\d+/)?[0-9a-f]{8}-([^/]+)")  # it has lost the folders of uploaded files
TASK = re.compile(r'"(annotations|annotator|annotation_id|completed_by)"\s*:')
RECTANGLES = ("rectanglelabels", "rectangle")  # types of results that are boxes
SIDES = ("x", "y", "width", "height")
PERCENT = 100.0
ROTATED, NOT_ONE_LABEL = "rotated", "without a label or with several"


class Annotation(NamedTuple):
    """What the newest annotation of a task says: `image.label`, or in `image.left_out` why there is none."""

    image: ImageBoxes
    reviewer: str | None
    reviewed_at: datetime | None


def matches(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(2**16).decode("utf-8", "ignore").lstrip("\ufeff \r\n\t")
    return start.startswith("[") and TASK.search(start) is not None


def read(path: Path, settings: Settings) -> Imported:
    """Read the newest annotation of each task: its label, if it is one choice, and its boxes.

    Raises DataError with the first task that cannot be read, or with all boxes that are wrong.
    """
    annotations = partial(_read_annotations, path, settings.export.labels)
    rows, left_out, boxes_left_out, faults, has_boxes = [], Counter[str](), Counter[str](), Faults(path), False
    for image, reviewer, reviewed_at in annotations():
        for fault in image.faults:
            faults.add("{count} boxes are wrong, first of {case}.", f"{image.path}: {fault}")
        left_out.update(image.left_out)
        boxes_left_out.update(image.boxes_left_out)
        has_boxes = has_boxes or image.boxes is not None or bool(image.boxes_left_out)
        if image.label is not None:
            rows.append((image.path, original_name(image.path), image.label, reviewer, reviewed_at))
    faults.raise_any()
    return Imported(
        TITLE,
        pd.DataFrame(rows, columns=COLUMNS, dtype=object),
        (lambda: chunk_spread_boxes(each.image for each in annotations())) if has_boxes else None,
        left_out,
        boxes_left_out,
        path_names={"path": "image", "path_1": "image"},
        other_path=original_name,
    )


def original_name(path: str) -> str:
    """Return the name of an uploaded file as it was, and other paths as they are."""
    match = UPLOADED.fullmatch(path)
    return match[1] if match else path


def _read_annotations(path: Path, meanings: Mapping[str, LabelMeaning]) -> Iterator[Annotation]:
    for number, task in enumerate(JsonFile(path).elements()):
        try:
            yield _read_task(task, meanings)
        except (TypeError, ValueError, AttributeError, LookupError) as error:
            raise DataError(f"{path}: task {number} cannot be read ({error}). Export the project again.") from error


def _read_task(task: Mapping[str, Any], meanings: Mapping[str, LabelMeaning]) -> Annotation:
    if "data" in task:
        annotations = [each for each in task["annotations"] if not each.get("was_cancelled")]
        no_annotation: Mapping[str, Any] = {}
        annotation = max(annotations, key=lambda each: str(each.get("updated_at") or ""), default=no_annotation)
        data, results, user = task["data"], annotation.get("result", []), annotation.get("completed_by")
        names, reason = _choices(results), "without a choice" if annotation else "without an annotation"
    else:
        data, annotation, user, reason = task, task, task.get("annotator"), "without a choice"
        values = [value for name, value in task.items() if name not in MIN_KEYS and name not in IMAGE_KEYS]
        results = [{"type": RECTANGLES[0], "value": each} for value in values for each in _rectangles(value)]
        names = {name for value in values for name in _names(value)}
    address = next((data[key] for key in IMAGE_KEYS if isinstance(data.get(key), str)), None)
    if address is None:
        raise ValueError(f"its data has no text {' or '.join(IMAGE_KEYS)}, only {', '.join(data)}")
    image = ImageBoxes(_to_path(address), TITLE, label=next(iter(names)) if len(names) == 1 else None)
    if len(names) != 1:
        image.left_out["with several choices" if names else reason] += 1
    for result in results:
        if result["type"] in RECTANGLES:
            _add_box(image, result["value"], meanings)
    user = user.get("email") or user.get("id") if isinstance(user, dict) else user
    reviewer = f"user {user}" if isinstance(user, int) else user
    return Annotation(image, reviewer, _to_time(annotation.get("updated_at")))


def _add_box(image: ImageBoxes, value: Mapping[str, Any], meanings: Mapping[str, LabelMeaning]) -> None:
    """Add a box, whose sides are in percent of the image, or count why it is left out."""
    names = value.get(RECTANGLES[0]) or []
    sides: list[Any] = [value.get(side) for side in SIDES]
    if value.get("rotation"):
        image.boxes_left_out[ROTATED] += 1
    elif len(names) != 1:
        image.boxes_left_out[NOT_ONE_LABEL] += 1
    else:
        are_numbers = all(isinstance(side, (int, float)) for side in sides)
        edges = [side / PERCENT for side in sides] if are_numbers else sides
        image.add(edges, category_of(names[0], meanings), None, clean(names[0]))


def _to_time(text: Any) -> datetime | None:
    """Return a time, which is in UTC if it does not say otherwise. Raises ValueError."""
    if not text:
        return None
    time = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    if not YEARS[0] <= time.year <= YEARS[1]:
        raise ValueError(f"updated_at = {text} is no time of an annotation")
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)


def _choices(results: list[Mapping[str, Any]]) -> set[str]:
    """Return the labels that were chosen; without choices, those of the boxes."""
    for kind in ("choices", RECTANGLES[0]):
        if found := {name for each in results if each["type"] == kind for name in each["value"][kind]}:
            return found
    return set()


def _rectangles(value: Any) -> list[Mapping[str, Any]]:
    """Return the boxes in a value of JSON-MIN."""
    return (
        [each for each in value if isinstance(each, dict) and RECTANGLES[0] in each] if isinstance(value, list) else []
    )


def _names(value: Any) -> list[str]:
    """Return the choices in a value of JSON-MIN: one name, or a list of them, or of boxes."""
    if isinstance(value, dict):
        return [name for kind in ("choices", "rectanglelabels") for name in value.get(kind) or []]
    if isinstance(value, list):
        return [name for each in value for name in _names(each)]
    return [value] if isinstance(value, str) and value else []


def _to_path(image: str) -> str:
    """Return the path in the address of an image."""
    if "://" not in image and not image.startswith("/data/"):
        return image
    parts = urlsplit(image)
    if local := parse_qs(parts.query).get("d"):  # local files and files of a connected storage
        return local[0]
    return unquote(f"{parts.netloc}{parts.path}")


FORMAT = Format("label-studio", TITLE, None, matches, read)

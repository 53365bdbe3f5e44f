"""Label Studio: JSON and JSON-MIN exports of a project with choices (import only)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pandas as pd

from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.exchange.formats.base import Format, Imported

TITLE = "Label Studio"
COLUMNS = ("path", "path_1", "label", "reviewer", "reviewed_at")
IMAGE_KEYS = ("image", "img", "url")  # of a task's data, as the templates name it
MIN_KEYS = {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement"}  # of JSON-MIN
UPLOADED = re.compile(r"(^|/)[0-9a-f]{8}-([^/]*)$")  # what it puts before the name of an uploaded file
TASK = re.compile(r'"(annotations|annotator|annotation_id|completed_by)"\s*:')
SKIP = re.compile(r"[\s,]*")
READ_CHARACTERS = 2**20
MAX_CHARACTERS = 2**26  # of a task


def matches(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(2**16).decode("utf-8", "ignore").lstrip("\ufeff \r\n\t")
    return start.startswith("[") and TASK.search(start) is not None


def read(path: Path, settings: Settings) -> Imported:
    """Read the newest annotation of each task, if it is one choice. Raises DataError with the first faulty task."""
    rows, left_out = [], Counter[str]()
    for number, task in enumerate(iter_array(path)):
        try:
            row = _read_task(task)
        except (TypeError, ValueError, AttributeError, LookupError) as error:
            raise DataError(f"{path}: task {number} cannot be read ({error}). Export the project again.") from error
        if isinstance(row, str):
            left_out[row] += 1
        else:
            rows.append(row)
    labels = pd.DataFrame(rows, columns=COLUMNS, dtype=object)
    return Imported(TITLE, labels, left_out=left_out, path_names={"path": "image", "path_1": "image"})


def iter_array(path: Path) -> Iterator[Any]:
    """Yield the elements of a list in JSON, one at a time in memory. Raises DataError where it is not valid."""
    decode, position = json.JSONDecoder().raw_decode, 0
    with path.open(encoding="utf-8-sig") as file:
        try:
            text = file.read(READ_CHARACTERS).lstrip()
            if not text.startswith("["):
                raise ValueError("it does not begin with [")
            position = 1
            while not text.startswith("]", position := SKIP.match(text, position).end()):  # type: ignore[union-attr]
                try:
                    item, position = decode(text, position)
                except ValueError:  # the text may end in the middle of the element
                    more = file.read(max(READ_CHARACTERS, len(text) - position))
                    if not more or len(text) - position > MAX_CHARACTERS:
                        raise
                    text, position = text[position:] + more, 0
                    continue
                yield item
        except ValueError as error:  # also of bytes that are not UTF-8
            raise DataError(f"{path} is no complete list in JSON ({error}). Export the project again.") from error


def _read_task(task: Mapping[str, Any]) -> tuple[Any, ...] | str:
    """Return the values of COLUMNS, or why the task has no label."""
    if "data" in task:
        annotations = [each for each in task["annotations"] if not each.get("was_cancelled")]
        annotation = max(annotations, key=lambda each: str(each.get("updated_at") or ""), default=None)
        if annotation is None:
            return "without an annotation"
        data, choices, user = task["data"], _choices(annotation["result"]), annotation.get("completed_by")
    else:
        data, annotation, user = task, task, task.get("annotator")
        values = [value for name, value in task.items() if name not in MIN_KEYS and name not in IMAGE_KEYS]
        choices = {name for value in values for name in _names(value)}
    image = next((data[key] for key in IMAGE_KEYS if isinstance(data.get(key), str)), None)
    if image is None:
        raise ValueError(f"its data has no text {' or '.join(IMAGE_KEYS)}, only {', '.join(data)}")
    if len(choices) != 1:
        return "with several choices" if choices else "without a choice"
    path = _to_path(image)
    moment = str(annotation.get("updated_at") or "").replace("Z", "+00:00")
    reviewed_at = datetime.fromisoformat(moment) if moment else None
    if reviewed_at and reviewed_at.tzinfo is None:
        reviewed_at = reviewed_at.replace(tzinfo=timezone.utc)
    user = user.get("email") or user.get("id") if isinstance(user, dict) else user
    reviewer = f"user {user}" if isinstance(user, int) else user
    return path, UPLOADED.sub(r"\1\2", path), choices.pop(), reviewer, reviewed_at


def _choices(results: list[Mapping[str, Any]]) -> set[str]:
    """Return the labels that were chosen; without choices, those of the boxes."""
    for kind in ("choices", "rectanglelabels"):
        if found := {name for each in results if each["type"] == kind for name in each["value"][kind]}:
            return found
    return set()


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

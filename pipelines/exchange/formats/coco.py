"""COCO Camera Traps, both ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pandas as pd

from pipelines.config.settings import LabelMeaning, Settings
from pipelines.exchange.boxes import ImageBoxes, add_duplicates, category_of, chunk_spread_boxes, label_rows
from pipelines.exchange.formats.base import Format, Imported
from pipelines.exchange.write_coco import export
from pipelines.formatting import pluralize
from pipelines.label_text import drop_unknown_name
from pipelines.sources.coco_json import CocoFile, Faults, is_coco, read_coco
from pipelines.sources.json_files import JsonFile
from pipelines.sources.label_times import parse_times

TITLE = "COCO Camera Traps"
UNSIZED = "in pixels of images whose size is not in the file"


def matches(path: Path) -> bool:
    """Return whether the beginning of a file is that of COCO."""
    return is_coco(JsonFile(path))


def read(path: Path, settings: Settings) -> Imported:
    """Read labels, stations, times and boxes. A label with a score is a prediction.

    An image with annotations of several categories gets no label. Raises DataError with every fault.
    """
    coco = read_coco(JsonFile(path))
    images, left_out, boxes_left_out, faults = coco.images, Counter[str](), Counter[str](), Faults(path)
    labels = label_rows(images["file_name"], images["label"], ~images["is_machine"])
    details = images.rename(columns={"file_name": "path", "location": "station", "datetime": "captured_at"})
    details = details[["path", "station", "captured_at"]].replace("", None)
    details["station"] = details["station"].map(drop_unknown_name, na_action="ignore")
    add_duplicates(faults, details["path"])
    faults.raise_any()
    times, wrong, implausible = parse_times(details["captured_at"])
    labels = labels.merge(details.assign(captured_at=times), on="path", how="left")
    notes = []
    if count := len(wrong) + len(implausible):
        first = pd.concat([wrong, implausible]).iloc[0]
        notes.append(f"{pluralize(count, 'time')} unreadable or implausible, first {first!r}: treated as unknown.")
    if count := int(images["has_several_labels"].sum()):
        left_out["images with annotations of several categories"] = count
    if not coco.has_boxes:
        return Imported(TITLE, labels, None, left_out, notes=notes)
    for image in _boxes(coco, settings.export.labels):
        boxes_left_out.update(image.boxes_left_out)
        for fault in image.faults:
            faults.add("{count} boxes are wrong, first of {case}.", f"{image.path}: {fault}")
    faults.raise_any()
    boxes = partial(_boxes, coco, settings.export.labels)
    return Imported(TITLE, labels, lambda: chunk_spread_boxes(boxes()), left_out, boxes_left_out, notes)


def _boxes(coco: CocoFile, meanings: Mapping[str, LabelMeaning]) -> Iterator[ImageBoxes]:
    """Yield the box of each annotation that has one."""
    names, widths, heights = (coco.images[name].to_numpy() for name in ("file_name", "width", "height"))
    categories = {name: category_of(name, meanings) for name in set(coco.categories.values())}
    for position, label, annotation in coco.annotations():
        image, score = ImageBoxes(names[position], TITLE), annotation.get("score")
        category = categories[label]
        width, height = int(widths[position]), int(heights[position])
        pixels = annotation.get("bbox")
        if annotation.get("bbox_relative"):
            image.add(annotation["bbox_relative"], category, score, label, score)
        elif pixels and width and height and isinstance(pixels, list) and len(pixels) >= 4:
            sides = (width, height, width, height)
            is_number = all(isinstance(value, (int, float)) for value in pixels[:4])
            values = [value / side for value, side in zip(pixels, sides, strict=False)] if is_number else pixels
            image.add(values, category, score, label, score)
        elif pixels and not (width and height):
            image.boxes_left_out[UNSIZED] += 1
        elif pixels:
            image.add(pixels, category, score)
        if pixels or annotation.get("bbox_relative"):
            yield image


FORMAT = Format("coco", TITLE, export, matches, read)

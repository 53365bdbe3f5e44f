"""Boxes in the table detections: one content has those of one image and of one file."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd

from pipelines.exchange.detections import newest_boxes, staged_detections
from pipelines.schemas import DETECTIONS, IMAGES

from .made import NOON, ROOT, add_rows, hash_of, image

PATHS = {"x.jpg": "S1/a.jpg", "y.jpg": "S1/b.jpg"}


def row(path: str, number: int, x: float) -> dict[str, object]:
    return {"path": path, "number": number, "category": "animal", "x": x, "y": 0.1, "width": 0.2, "height": 0.3}


def test_identical_images_of_a_file_have_one_set_of_boxes(tables):
    add_rows(tables, "images", IMAGES, [image("S1/a.jpg"), image("S1/b.jpg", content_hash=hash_of("S1/a.jpg"))])
    chunks = [pd.DataFrame([row("x.jpg", 0, 0.1), row("x.jpg", 1, 0.2), row("z.jpg", 0, 0.3)])]
    chunks.append(pd.DataFrame([row("y.jpg", 0, 0.1), row("y.jpg", 1, 0.2)]))
    values = {"source": "toy", "file": "f", "file_sha256": "s"}
    with staged_detections(tables, lambda: iter(chunks), PATHS, ROOT, values, NOON) as staged:
        found = sorted((each["content_hash"], each["number"], each["x"]) for each in staged.collect())
    assert found == [(hash_of("S1/a.jpg"), 0, 0.1), (hash_of("S1/a.jpg"), 1, 0.2)]


def test_the_newest_boxes_are_those_of_the_last_file_that_names_the_image(tables):
    assert newest_boxes(tables) is None

    def stored(name: str, file: str, minutes: int, number: int, x: float, **values: object) -> dict[str, object]:
        at = {"file_sha256": file, "imported_at": NOON + timedelta(minutes=minutes), "detector": file}
        return {**row(name, number, x), "content_hash": name, **at, **values}

    twice = stored("a", "new", 5, 1, 0.2)  # two imports of one file at once
    whole = {"x": 0.0, "y": 0.0, "width": 1.0, "height": 1.0}
    rows = [stored("a", "old", 0, 0, 0.1), stored("a", "old", 0, 1, 0.1), stored("a", "old", 0, 2, 0.1)]
    rows += [twice, twice, stored("a", "new", 5, 0, 0.3), stored("a", "new", 5, 2, 0.0) | whole]
    rows += [stored("b", "old", 0, 0, 0.4), stored("b", "new", 5, -1, 0.0), stored("c", "old", 0, 0, 0.5)]
    add_rows(tables, "detections", DETECTIONS, rows)
    boxes = newest_boxes(tables)
    assert boxes is not None
    found = {
        each["content_hash"]: (each["detector"], [(box["number"], box["x"]) for box in each["boxes"]])
        for each in boxes.collect()
    }
    assert found == {"a": ("new", [(0, 0.3), (1, 0.2)]), "c": ("old", [(0, 0.5)])}

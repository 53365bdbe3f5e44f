"""Write COCO Camera Traps: images, categories, and one annotation for each image with a label or prediction."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipelines.atomic_write import open_atomic
from pipelines.exchange.formats.base import Export, Exported
from pipelines.exchange.json_lines import (
    KIND,
    PEOPLE,
    LabelNames,
    count_kinds,
    exported_name,
    find_names,
    open_object,
    select_exported,
    to_lines,
)
from pipelines.exchange.observation_types import UNKNOWN
from pipelines.formatting import pluralize
from pipelines.spark.local_files import write_lines

FILE = "coco_camera_traps.json"
EMPTY = "empty"  # the name of category 0, by convention
NO_STATION = "unknown"  # readers require a location
ANNOTATED, PLAIN = "annotated", "plain"
NEXT_ARRAY = '\n ],\n "annotations": [\n'
END = "\n ]\n}\n"


def export(source: Export) -> Exported:
    """Write one file for all images."""
    settings = source.settings.export
    labels = find_names(source.rows, settings.labels)
    kinds = {ANNOTATED: exported_name().isNotNull(), PLAIN: F.lit(True)}
    rows = select_exported(source.rows, settings, labels, kinds)
    counts = count_kinds(rows)
    categories = number_categories(labels)
    info = {
        "version": "1.0",
        "description": f"{source.title}, labels and predictions of {labels.model}",
        "year": source.created_at.year,
        "contributor": settings.contributor or "",
        "date_created": f"{source.created_at:%Y-%m-%d %H:%M:%S}",
    }
    listed = [{"id": number, "name": name} for name, number in sorted(categories.items(), key=lambda item: item[1])]
    header = open_object({"info": info, "categories": listed}, "images")
    path = source.folder / FILE
    images = to_lines(_with_frames(rows.where(F.col(KIND) != PEOPLE)), format_image)
    annotated = rows.where(F.col(KIND) == ANNOTATED)
    annotated = annotated.select("relative_path", "label", "prediction", "score", "is_unknown")
    annotations = to_lines(annotated, partial(format_annotation, categories=categories))
    _write_arrays(path, [(images, header), (annotations, NEXT_ARRAY)])
    result = Exported([path])
    result.written.update({"annotations": counts[ANNOTATED], "images": counts[ANNOTATED] + counts[PLAIN]})
    if counts[PEOPLE]:
        result.left_out[PEOPLE] = counts[PEOPLE]
    if counts[PLAIN]:
        result.notes.append(f"{pluralize(counts[PLAIN], 'image')} without an annotation: no label and no prediction.")
    return result


def number_categories(labels: LabelNames) -> dict[str, int]:
    """Return the id of each category. 0 is that of images without an animal, under the name that it has here."""
    blank = sorted(labels.of_type("blank"), key=lambda name: (name != EMPTY, name))
    first = blank[0] if blank else EMPTY
    return {first: 0} | {name: i for i, name in enumerate((name for name in labels.names if name != first), 1)}


def _with_frames(rows: DataFrame) -> DataFrame:
    """Return what `format_image` needs, in the order of the paths. Frames are numbered within the exported images."""
    burst = Window.partitionBy(F.coalesce("burst_id", "relative_path"))
    ordered = burst.orderBy(F.col("captured_at").asc_nulls_last(), "relative_path")
    return rows.select(
        "relative_path",
        "width",
        "height",
        "station",
        "burst_id",
        "failure",
        F.col("captured_at").cast("long").alias("captured_at"),  # seconds, independent of the session's time zone
        (F.row_number().over(ordered) - 1).alias("frame"),
        F.count("*").over(burst).alias("frames"),
    ).orderBy("relative_path")


def format_image(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object of an image. Its id is its path, and its time is the camera's."""
    image = {"id": row["relative_path"], "file_name": row["relative_path"]}
    if row["width"] and row["height"]:
        image |= {"width": row["width"], "height": row["height"]}
    if row["captured_at"] is not None:
        image["datetime"] = f"{datetime.fromtimestamp(row['captured_at'], timezone.utc):%Y-%m-%d %H:%M:%S}"
    if row["burst_id"] is not None:
        image |= {"seq_id": row["burst_id"], "seq_num_frames": row["frames"], "frame_num": row["frame"]}
    image["location"] = row["station"] or NO_STATION
    return image | ({"corrupt": True} if row["failure"] else {})


def format_annotation(row: Mapping[str, Any], categories: Mapping[str, int]) -> dict[str, Any]:
    """Return the object of a label or, with a score, of a prediction."""
    path = row["relative_path"]
    if row["label"] is not None or row["is_unknown"]:
        return {"id": path, "image_id": path, "category_id": categories[row["label"] or UNKNOWN]}
    return {"id": path, "image_id": path, "category_id": categories[row["prediction"]], "score": round(row["score"], 5)}


def _write_arrays(path: Path, arrays: list[tuple[DataFrame, str]]) -> None:
    """Write lines of several arrays, each after its beginning, to one file."""
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        parts = [Path(folder, str(number)) for number in range(len(arrays))]
        for part, (lines, beginning) in zip(parts, arrays, strict=True):
            write_lines(lines, part, beginning, "", ",\n")
        with open_atomic(path) as target:
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, target, 2**20)
            target.write(END.encode())

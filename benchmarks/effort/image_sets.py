"""The image sets of the effort benchmark: features by `irbis ingest` and `irbis featurize`, cached in a file."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import functions as F

from pipelines.backbones import feature_id
from pipelines.config.loader import load_settings
from pipelines.demo.sample_set import IMAGES, render_sample_set
from pipelines.demo.schedule import plan_frames
from pipelines.evaluation.split import labelled_images
from pipelines.spark.session import get_session
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.ingest import stage as ingest
from pipelines.workspace.features import read_features
from pipelines.workspace.tables import Tables

SAMPLE_SEED, OTHER_SEED = 7, 8  # that of `irbis demo`, and another
COLUMNS = ("content_hash", "label", "burst_id", "group_id", "station")


@dataclass(frozen=True)
class ImageSet:
    """The images of a set, with the true label of each: arrays with a row for each image."""

    name: str
    class_of_interest: str
    content_hash: NDArray[np.str_]
    label: NDArray[np.str_]
    burst_id: NDArray[np.str_]
    group_id: NDArray[np.str_]
    station: NDArray[np.str_]
    features: NDArray[np.float32]  # shape (n, d)

    def __len__(self) -> int:
        return len(self.label)


def _folder_set(folder: Path, scratch: Path) -> dict[str, Any]:
    return {"sources.images": str(folder)}


def _peru(folder: Path, scratch: Path) -> dict[str, Any]:
    """Return the settings of the Peru set, with species instead of `animal` as labels."""
    with open(folder / "labels.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    labels = scratch / "peru.csv"
    with open(labels, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "station", "camera", "captured_at"])
        for row in rows:
            label = row["species_guess"] or row["label"]
            writer.writerow([row["file_name"], label, row["station"], row["camera"], row["datetime"]])
    return {"sources.images": str(folder), "sources.labels": str(labels), "images.crop_bottom": 0.07}


def _sample(folder: Path, scratch: Path, seed: int = SAMPLE_SEED) -> dict[str, Any]:
    """Return the settings of a drawn sample set, with the labels of all frames and without the faulty files."""
    sample = render_sample_set(scratch / "sample", seed=seed, workers=2)
    labels = scratch / "sample.csv"
    with open(labels, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        writer.writerows((frame.path, frame.label) for frame in plan_frames(IMAGES, seed))
    return {
        "sources.images": str(sample.images_folder),
        "sources.labels": str(labels),
        "sources.station": "folder:1",
    }


# Name -> class of interest, and the settings that read the set.
SETS: dict[str, tuple[str, Callable[[Path, Path], dict[str, Any]]]] = {
    "trashnet": ("trash", _folder_set),
    "cats_dogs_leopard": ("amur_leopard", _folder_set),
    "cameratrap_peru_sdzg": ("paca", _peru),
    "sample": ("leopard", _sample),
    "sample, other seed": ("leopard", partial(_sample, seed=OTHER_SEED)),
}


def load_set(name: str, folder: Path, weights: Path, cache: Path) -> ImageSet:
    """Return a set from the cache folder; without it there, ingest and featurize it in a temporary workspace."""
    file = cache / f"{name}.npz"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            np.savez(file, **_compute(name, folder, weights, Path(scratch)))
    return ImageSet(name, SETS[name][0], **np.load(file))


def _compute(name: str, folder: Path, weights: Path, scratch: Path) -> dict[str, NDArray[Any]]:
    settings = load_settings(
        None,
        {
            "workspace": str(scratch / "workspace"),
            "featurize.backbone": "squeezenet1_1",
            "featurize.weights_cache": str(weights),
            **SETS[name][1](folder / name, scratch),
        },
    )
    spark = get_session(settings)
    ingest.run(spark, settings)
    featurize.run(spark, settings)
    tables = Tables.of(spark, settings)
    features = read_features(tables, feature_id(settings)).where("failure is null").select("content_hash", "features")
    images = labelled_images(tables.latest_images(), also=["station"]).join(features, "content_hash")
    rows = images.select(*COLUMNS, "features").withColumn("station", F.coalesce("station", F.lit("")))
    table = rows.orderBy("content_hash").toPandas()
    columns = {column: table[column].to_numpy(str) for column in COLUMNS}
    return {**columns, "features": np.stack(table["features"].to_list()).astype(np.float32)}

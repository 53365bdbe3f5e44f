"""Measure the accuracy that `featurize.precision=fast` costs, as a Markdown table.

    python benchmarks/featurize/precision.py DATA [--backbones NAME ...] [--sets NAME ...] [--predictions N]

DATA holds the sets trashnet, cats_dogs_leopard and cifar10_subset (images in folders per class), cameratrap_peru_sdzg
(labels.csv) and, in backbones, NAME_imagenet.safetensors. The reference is full decoding and torch in single precision.
Accuracies are those of logistic regression in five-fold cross-validation; with few images, folds are redrawn until
there are N predictions.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is loaded: threads slow small problems down

import argparse
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from accuracy import MIN_PREDICTIONS, accuracy

from pipelines.backbones import Backbone, load_backbone
from pipelines.engines import load_or_convert
from pipelines.engines.openvino_engine import OpenVinoEngine
from pipelines.engines.quantization.calibration_images import cosine_similarities

SETS = ("trashnet", "cats_dogs_leopard", "cifar10_subset", "cameratrap_peru_sdzg")
CACHE = "~/.cache/irbis/weights"


def compute_part(job: tuple[list[Path], Backbone, bool]) -> np.ndarray[Any, Any]:
    """Return the features of readable files, by the reference or by OpenVINO."""
    files, backbone, is_reference = job
    engine = None if is_reference else OpenVinoEngine(load_or_convert(backbone, CACHE), backbone)
    embeddings = backbone.embed((file.read_bytes() for file in files), engine, batch=engine.batch if engine else 8)
    return np.stack([item.features for item in embeddings if item.features is not None])


def compute_features(files: list[Path], backbone: Backbone, is_reference: bool) -> np.ndarray[Any, Any]:
    if not is_reference:
        load_or_convert(backbone, CACHE)  # converted once, before the processes need it
    with get_context("spawn").Pool() as pool:
        parts = np.array_split(np.array(files, dtype=object), 8 * (os.cpu_count() or 1))
        return np.concatenate(pool.map(compute_part, [(list(part), backbone, is_reference) for part in parts], 1))


def read_labels(folder: Path) -> tuple[list[Path], np.ndarray[Any, Any]]:
    """Return images and labels from labels.csv, without `human_setup`, else from the folders."""
    if (folder / "labels.csv").is_file():
        rows = pd.read_csv(folder / "labels.csv").query("label != 'human_setup'")
        return [folder / name for name in rows["file_name"]], rows["label"].to_numpy()
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return files, np.array([path.parent.name for path in files])


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare exact and fast features with the reference.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--backbones", nargs="+", default=["squeezenet1_1", "mobilenet_v2", "irbis_tiny"])
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--predictions", type=int, default=MIN_PREDICTIONS)
    given = parser.parse_args()
    print("| backbone | set | images | reference | exact | fast | fast − reference | cosine: exact, lowest", end=" ")
    print("| fast, median |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in given.backbones:
        file = given.data / "backbones" / f"{name}_imagenet.safetensors"
        exact, fast = (
            load_backbone(name, weights=str(file) if file.is_file() else None, precision=precision)
            for precision in ("exact", "fast")
        )
        for folder in (given.data / each for each in given.sets):
            files, labels = read_labels(folder)
            if not files:
                continue
            jobs = ((exact, True), (exact, False), (fast, False))
            reference, *others = (compute_features(files, *job) for job in jobs)
            with get_context("spawn").Pool(3) as pool:
                accuracies = pool.map(
                    partial(accuracy, labels=labels, predictions=given.predictions), (reference, *others)
                )
            cosines = [cosine_similarities(features, reference) for features in others]
            print(
                f"| {name} | {folder.name} | {len(files):,} | {' | '.join(f'{value:.4f}' for value in accuracies)} "
                f"| {100 * (accuracies[2] - accuracies[0]):+.2f} points "
                f"| {cosines[0].min():.6f} | {np.median(cosines[1]):.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

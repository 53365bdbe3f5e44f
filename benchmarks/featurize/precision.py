"""Print what `featurize.precision` costs in accuracy, as a Markdown table.

    python benchmarks/featurize/precision.py DATA [--backbones NAME ...] [--sets NAME ...] [--predictions N]

DATA holds the sets trashnet, cats_dogs_leopard and cifar10_subset (images in folders per class), cameratrap_peru_sdzg
(labels.csv) and, in backbones, NAME_imagenet.safetensors. The reference is full decoding and torch in single precision.
Accuracies are of logistic regression, five folds, each image predicted by a model that has not seen it; few images
are dealt anew until there are N predictions.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is loaded: small problems lose time to threads

import argparse
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from accuracy import ENOUGH, accuracy

from pipelines.backbones import Backbone, load_backbone
from pipelines.engines import load_or_convert
from pipelines.engines.openvino_engine import OpenVinoEngine
from pipelines.engines.quantization.calibration_images import cosine_similarities

SETS = ("trashnet", "cats_dogs_leopard", "cifar10_subset", "cameratrap_peru_sdzg")
CACHE = "~/.cache/irbis/weights"


def features_of(job: tuple[list[Path], Backbone, bool]) -> np.ndarray[Any, Any]:
    """Give the features of readable files, by the reference or by OpenVINO."""
    files, backbone, is_reference = job
    engine = None if is_reference else OpenVinoEngine(load_or_convert(backbone, CACHE), backbone)
    found = backbone.embed((file.read_bytes() for file in files), engine, batch=engine.batch if engine else 8)
    return np.stack([each.features for each in found if each.features is not None])


def all_features(files: list[Path], backbone: Backbone, is_reference: bool) -> np.ndarray[Any, Any]:
    if not is_reference:
        load_or_convert(backbone, CACHE)  # converted once, before every process asks for it
    with get_context("spawn").Pool() as pool:
        parts = np.array_split(np.array(files, dtype=object), 8 * (os.cpu_count() or 1))
        return np.concatenate(pool.map(features_of, [(list(part), backbone, is_reference) for part in parts], 1))


def labelled(folder: Path) -> tuple[list[Path], np.ndarray[Any, Any]]:
    """Give the images with their labels: of labels.csv, without those of people at work, else of the folders."""
    if (folder / "labels.csv").is_file():
        told = pd.read_csv(folder / "labels.csv").query("label != 'human_setup'")
        return [folder / name for name in told["file_name"]], told["label"].to_numpy()
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return files, np.array([path.parent.name for path in files])


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare exact and fast features with the reference.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--backbones", nargs="+", default=["squeezenet1_1", "mobilenet_v2", "irbis_tiny"])
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--predictions", type=int, default=ENOUGH)
    given = parser.parse_args()
    print("| backbone | set | images | reference | exact | fast | fast − reference | cosine: exact, lowest", end=" ")
    print("| fast, median |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in given.backbones:
        file = given.data / "backbones" / f"{name}_imagenet.safetensors"
        exact, fast = (
            load_backbone(name, weights=str(file) if file.is_file() else None, precision=each)
            for each in ("exact", "fast")
        )
        for folder in (given.data / each for each in given.sets):
            files, labels = labelled(folder)
            if not files:
                continue
            jobs = ((exact, True), (exact, False), (fast, False))
            reference, *found = (all_features(files, *job) for job in jobs)
            with get_context("spawn").Pool(3) as pool:
                right = pool.map(partial(accuracy, labels=labels, predictions=given.predictions), (reference, *found))
            near = [cosine_similarities(each, reference) for each in found]
            print(
                f"| {name} | {folder.name} | {len(files):,} | {' | '.join(f'{each:.4f}' for each in right)} "
                f"| {100 * (right[2] - right[0]):+.2f} points | {near[0].min():.6f} | {np.median(near[1]):.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

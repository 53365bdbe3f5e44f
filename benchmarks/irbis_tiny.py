"""Print what irbis_tiny's features are worth on real pictures, as a Markdown table.

    python benchmarks/irbis_tiny.py FOLDER

FOLDER holds trashnet and cats_dogs_leopard (one folder per class) and cifar10_subset (train and test, each with one
folder per class); what is not there is left out. Scores are test accuracies of logistic regression on standardised
features: pretrained, the same network with random weights, and the pixels of the picture at 32 x 32. Where a set has
no split of its own it is split 70/30 by class at random, with three seeds; then mean and standard deviation.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is loaded: small problems lose time to threads

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.images.decode import decode
from pipelines.images.preprocess import Preprocessing
from pipelines.models.backbones.irbis_tiny import INPUT_SIZE, MEAN, STD, IrbisTiny
from pipelines.models.backbones.weights import SHIPPED, read_state

Features = NDArray[np.float32]
SEEDS = (0, 1, 2)
STRENGTHS = {"pretrained": 0.03, "random": 0.03, "pixels": 0.001}  # C of the regression, about the best of each
SUFFIXES = {".jpg", ".jpeg", ".png"}


def pictures(folder: Path, size: int) -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
    """Give the pictures, squashed to size x size, and their folders' names."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    squash = Preprocessing(size=size)
    pixels = [squash.apply(decode(path.read_bytes(), max_pixels=100_000_000)) for path in files]
    return np.stack(pixels), np.array([path.parent.name for path in files])


def networks() -> Iterator[tuple[str, IrbisTiny]]:
    """Give the pretrained network and three with random weights."""
    shipped = SHIPPED / "irbis_tiny.safetensors"
    network = IrbisTiny()
    network.load_state_dict(read_state(shipped.read_bytes(), shipped.name))
    yield "pretrained", network.eval()
    for seed in SEEDS:
        torch.manual_seed(seed)
        yield "random", IrbisTiny().eval()


@torch.inference_mode()
def features(network: IrbisTiny, pixels: NDArray[np.uint8], batch: int = 8) -> Features:
    """Give the network's features, float32 (count, FEATURES)."""
    network = network.to(memory_format=torch.channels_last)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    found = []
    for start in range(0, len(pixels), batch):
        images = torch.from_numpy(pixels[start : start + batch]).permute(0, 3, 1, 2).float() / 255
        found.append(network((images - mean) / std).numpy())
    return np.concatenate(found)


def splits(labels: NDArray[np.str_], test: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Give rows for training and testing: the last `test` rows if there are any, else three random splits."""
    rows = np.arange(len(labels))
    if test:
        yield rows[:-test], rows[-test:]
        return
    for seed in SEEDS:
        yield tuple(train_test_split(rows, test_size=0.3, stratify=labels, random_state=seed))


def accuracies(values: Features, labels: NDArray[np.str_], strength: float, test: int) -> list[float]:
    """Give the test accuracy of each split."""
    found = []
    for known, unseen in splits(labels, test):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))
        model.fit(values[known], labels[known])
        found.append(float(model.score(values[unseen], labels[unseen])))
    return found


def row(folder: Path) -> str:
    """Give one row of the table for a set of pictures."""
    parts = [folder / "train", folder / "test"] if (folder / "test").is_dir() else [folder]
    loaded = [pictures(part, INPUT_SIZE) for part in parts]
    pixels, labels = (np.concatenate(each) for each in zip(*loaded, strict=True))
    test = len(loaded[1][1]) if len(parts) == 2 else 0
    small = np.concatenate([pictures(part, 32)[0] for part in parts]).reshape(len(labels), -1).astype(np.float32)
    scores: dict[str, list[float]] = {"pretrained": [], "random": [], "pixels": []}
    scores["pixels"] = accuracies(small, labels, STRENGTHS["pixels"], test)
    for name, network in networks():
        scores[name] += accuracies(features(network, pixels), labels, STRENGTHS[name], test)
    figures = [f"{np.mean(s):.3f}" + (f" ± {np.std(s):.3f}" if len(s) > 1 else "") for s in scores.values()]
    return f"| {folder.name} | {len(labels):,} | " + " | ".join(figures) + " |"


def speed() -> float:
    """Give pictures a second of the network alone, on one core, in batches of 8."""
    torch.set_num_threads(1)
    network, pixels = IrbisTiny().eval(), np.zeros((160, INPUT_SIZE, INPUT_SIZE, 3), np.uint8)
    features(network, pixels[:16])
    start = time.perf_counter()
    features(network, pixels)
    return len(pixels) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare irbis_tiny with random weights and with pixels.")
    parser.add_argument("folder", type=Path, help="holds trashnet, cats_dogs_leopard, cifar10_subset")
    folder = parser.parse_args().folder
    names = ("trashnet", "cats_dogs_leopard", "cifar10_subset")
    present = [folder / name for name in names if (folder / name).is_dir()]
    if not present:
        parser.error(f"{folder} holds none of {', '.join(names)}")
    print("| set | pictures | irbis_tiny | random weights | raw pixels |\n|---|---|---|---|---|")
    for each in present:
        print(row(each), flush=True)
    print(f"\nOne core, batches of 8, {INPUT_SIZE} x {INPUT_SIZE}: {speed():.0f} pictures a second.")


if __name__ == "__main__":
    main()

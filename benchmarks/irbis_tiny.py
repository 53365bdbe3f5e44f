"""Measure the accuracy of irbis_tiny's features on real images, as a Markdown table.

    python benchmarks/irbis_tiny.py FOLDER

FOLDER holds trashnet and cats_dogs_leopard (one folder per class) and cifar10_subset (train and test, each with one
folder per class); missing sets are skipped. Scores are accuracies of logistic regression on standardised
features: of the pretrained network, of the same network with random weights (mean of five), and of the 32 x 32 pixels.
Every image is predicted by models that were not trained on it: five stratified folds, three times, or the set's own
test images if it has some. The gain is paired by image; its interval is a bootstrap over the images.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is loaded: threads slow small problems down

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.backbones.irbis_tiny import INPUT_SIZE, MEAN, STD, IrbisTiny
from pipelines.backbones.state_dict import read_state_dict
from pipelines.backbones.weights import PACKAGED_WEIGHTS_DIR
from pipelines.images.decode import decode
from pipelines.images.preprocess import Preprocessing

Features = NDArray[np.float32]
SEEDS = (0, 1, 2)  # of the folds
RANDOM_NETWORKS = 5
RESAMPLES = 2000
STRENGTHS = {"pretrained": 0.03, "random": 0.03, "pixels": 0.001}  # C of the regression, near the optimum of each
SUFFIXES = {".jpg", ".jpeg", ".png"}


def load_images(folder: Path, size: int) -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
    """Return the images, squashed to size x size, and the names of their folders."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    squash = Preprocessing(size=size)
    pixels = [squash.apply(decode(path.read_bytes(), max_pixels=100_000_000)) for path in files]
    return np.stack(pixels), np.array([path.parent.name for path in files])


def networks(weights: Path) -> Iterator[tuple[str, IrbisTiny]]:
    """Yield the pretrained network and those with random weights."""
    network = IrbisTiny()
    network.load_state_dict(read_state_dict(weights.read_bytes(), weights.name))
    yield "pretrained", network.eval()
    for seed in range(RANDOM_NETWORKS):
        torch.manual_seed(seed)
        yield "random", IrbisTiny().eval()


@torch.inference_mode()
def features(network: IrbisTiny, pixels: NDArray[np.uint8], batch: int = 8) -> Features:
    """Return the network's features, float32 (count, FEATURES)."""
    network = network.to(memory_format=torch.channels_last)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    batches = []
    for start in range(0, len(pixels), batch):
        images = torch.from_numpy(pixels[start : start + batch]).permute(0, 3, 1, 2).float() / 255
        batches.append(network((images - mean) / std).numpy())
    return np.concatenate(batches)


def splits(labels: NDArray[np.str_], test: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield training and test rows: the last `test` rows for testing if `test` > 0, else every fold of every seed."""
    rows = np.arange(len(labels))
    if test:
        yield rows[:-test], rows[-test:]
        return
    for seed in SEEDS:
        yield from StratifiedKFold(5, shuffle=True, random_state=seed).split(rows, labels)


def fraction_correct(values: Features, labels: NDArray[np.str_], strength: float, test: int) -> NDArray[np.float64]:
    """Return for each tested image the fraction of correct predictions, 0 to 1."""
    right, tested = np.zeros(len(labels)), np.zeros(len(labels))
    for known, unseen in splits(labels, test):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))
        model.fit(values[known], labels[known])
        right[unseen] += model.predict(values[unseen]) == labels[unseen]
        tested[unseen] += 1
    return right[tested > 0] / tested[tested > 0]


def interval(gains: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of the mean: a bootstrap over the images."""
    drawn = np.random.default_rng(0).integers(len(gains), size=(RESAMPLES, len(gains)))
    low, high = np.percentile(gains[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def row(folder: Path, weights: Path) -> str:
    """Return one row of the table for a set of images."""
    parts = [folder / "train", folder / "test"] if (folder / "test").is_dir() else [folder]
    loaded = [load_images(part, INPUT_SIZE) for part in parts]
    pixels, labels = (np.concatenate(each) for each in zip(*loaded, strict=True))
    test = len(loaded[1][1]) if len(parts) == 2 else 0
    small = np.concatenate([load_images(part, 32)[0] for part in parts]).reshape(len(labels), -1).astype(np.float32)
    right: dict[str, list[NDArray[np.float64]]] = {"pretrained": [], "random": []}
    for name, network in networks(weights):
        right[name].append(fraction_correct(features(network, pixels), labels, STRENGTHS[name], test))
    pretrained, random = (np.mean(each, axis=0) for each in right.values())
    raw = fraction_correct(small, labels, STRENGTHS["pixels"], test)
    low, high = interval(pretrained - random)
    figures = [f"{each.mean():.3f}" for each in (pretrained, random, raw)]
    gain = f"{(pretrained - random).mean():+.3f} ({low:+.3f} to {high:+.3f})"
    return f"| {folder.name} | {len(labels):,} | {' | '.join(figures)} | {gain} |"


def speed() -> float:
    """Return images per second of the network alone, on one core, in batches of 8."""
    torch.set_num_threads(1)
    network, pixels = IrbisTiny().eval(), np.zeros((160, INPUT_SIZE, INPUT_SIZE, 3), np.uint8)
    features(network, pixels[:16])
    start = time.perf_counter()
    features(network, pixels)
    return len(pixels) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare irbis_tiny with random weights and with pixels.")
    parser.add_argument("folder", type=Path, help="holds trashnet, cats_dogs_leopard, cifar10_subset")
    parser.add_argument(
        "--weights", type=Path, default=PACKAGED_WEIGHTS_DIR / "irbis_tiny.safetensors", help="other weights"
    )
    options = parser.parse_args()
    folder = options.folder
    names = ("trashnet", "cats_dogs_leopard", "cifar10_subset")
    present = [folder / name for name in names if (folder / name).is_dir()]
    if not present:
        parser.error(f"{folder} holds none of {', '.join(names)}")
    print("| set | images | irbis_tiny | random weights | raw pixels | gain over random weights (95 %) |")
    print("|---|---|---|---|---|---|")
    for each in present:
        print(row(each, options.weights), flush=True)
    print(f"\nOne core, batches of 8, {INPUT_SIZE} x {INPUT_SIZE}: {speed():.0f} images per second.")


if __name__ == "__main__":
    main()

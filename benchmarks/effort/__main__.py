"""Measure the effort of a reviewer: images looked at until a class of interest is found, by order of review.

    python benchmarks/effort DATA --weights FOLDER --cache FOLDER [--sets NAME ...] [--seeds 10] [--learning]

DATA holds the sets, WEIGHTS squeezenet1_1_imagenet.safetensors; features are kept in CACHE. A simulated reviewer knows
the true label of every image and labels whole bursts: in the order of `irbis suggest --find CLASS`, or of the queues
`review` and `audit` of `irbis review`, training again after each batch; in random order; and in order of confidence, by
one model that was trained on the first ten bursts only. All looks count, also those at the first bursts. "Best
possible" looks at nothing but the class. Prints means over the seeds with 95 % intervals (Student's t) and the ratio to
random order. `--learning` prints the accuracy before and after labelling 60 suggested bursts of the sample set.
`--noise` changes 3 % of the labels at random and prints the share of them among the first suspects.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from bursts import Bursts
from image_sets import SETS, load_set
from learning import measure_learning
from noise import measure_noise
from reviewers import RECALLS, confidence_order, count_looks, random_order, review_order, suggested_order
from scipy.stats import t

NOISE, METHODS = 0.03, ("self_confidence", "cleanlab")
ORDERS = {"suggest": suggested_order, "review": review_order, "confidence": confidence_order, "random": random_order}
SAMPLE, OTHER = "sample", "sample, other seed"


def format_mean(values: list[float], digits: int = 0) -> str:
    """Return the mean with its 95 % interval over the seeds."""
    mean, half = np.mean(values), t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return f"{mean:,.{digits}f} ({mean - half:,.{digits}f}-{mean + half:,.{digits}f})"


def measure_set(bursts: Bursts, seeds: int) -> None:
    """Print the rows of one set."""
    images = bursts.images
    positives = int(bursts.found.sum())
    head = f"{images.name}: {images.class_of_interest}, {positives} of {len(images):,} images"
    looks = {
        name: [count_looks(bursts, order(bursts, seed)) for seed in range(seeds)] for name, order in ORDERS.items()
    }
    best = count_looks(bursts, np.argsort(-bursts.found / bursts.sizes, kind="stable").tolist())
    for i, recall in enumerate(RECALLS):
        columns = {name: [float(each[i]) for each in values] for name, values in looks.items()}
        ratio = np.mean(columns["suggest"]) / np.mean(columns["random"])
        cells = [format_mean(values) for values in columns.values()]
        print(f"| {head} | {recall:g} | {' | '.join(cells)} | {best[i]:,} | {ratio:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=[name for name in SETS if name != OTHER])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--learning", action="store_true")
    parser.add_argument("--noise", action="store_true")
    options = parser.parse_args()
    if options.noise:
        for name in options.sets:
            images = load_set(name, options.data, options.weights, options.cache)
            for method, values in measure_noise(images, NOISE, options.seeds, METHODS).items():
                print(f"| {name} | {method} | {format_mean(values, 3)} |", flush=True)
        return
    if options.learning:
        images, test = (load_set(name, options.data, options.weights, options.cache) for name in (SAMPLE, OTHER))
        for name, values in measure_learning(images, test, options.seeds).items():
            print(f"| {name} | {format_mean(values, 3)} |", flush=True)
        return
    columns = ("set", "recall", *ORDERS, "best possible", "suggest / random")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for name in options.sets:
        measure_set(Bursts(load_set(name, options.data, options.weights, options.cache)), options.seeds)


if __name__ == "__main__":
    main()

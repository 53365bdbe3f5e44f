"""Featurize with Ray Data as its guide to images shows: read, map, and map_batches over actors with the model.

    $(python of the environment ray) benchmarks/featurize/ray_data.py --small DIR --images DIR --backbone NAME \
        --weights FILE --output DIR

--read selects a documented way: `resized` decodes and resizes in read_images (Pillow, bilinear), `images` resizes in a
map after read_images, `bytes` decodes in a map after read_binary_files. --output is a folder.
"""

from __future__ import annotations

import argparse
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Set before ray is imported: no usage reports, and the key of this cluster is not written to the home folder.
os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))

import numpy as np
import ray
import ray.data
import torch
from command import Run, list_jpegs, make_parser, make_table, measure
from networks import SIDE, FromPixels, load_pixels, load_pretrained
from PIL import Image


class Embedder:
    """Actor with the network: batches of pixels to path and features."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        if given.threads:
            torch.set_num_threads(given.threads)
        self.network = FromPixels(load_pretrained(given.backbone, given.weights)).eval()
        self.folder = folder

    def __call__(self, batch: dict[str, np.ndarray]) -> Any:
        with torch.inference_mode():
            features = self.network(torch.from_numpy(np.ascontiguousarray(batch["image"]))).numpy()
        return make_table([str(Path(path).relative_to(self.folder)) for path in batch["path"]], features)


def resize_row(row: dict[str, Any]) -> dict[str, Any]:
    """Resize a decoded image."""
    image = Image.fromarray(row["image"]).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return {"path": row["path"], "image": np.asarray(image)}


def decode_row(row: dict[str, Any]) -> dict[str, Any]:
    """Decode and resize an encoded image."""
    return {"path": row["path"], "image": np.asarray(load_pixels(row["bytes"]))}


def read_pixels(files: list[str], way: str, blocks: int) -> ray.data.Dataset:
    """Return a dataset of path and image, uint8 of one shape."""
    common: dict[str, Any] = {"include_paths": True, "override_num_blocks": blocks or None}
    if way == "bytes":
        return ray.data.read_binary_files(files, **common).map(decode_row)
    if way == "images":
        return ray.data.read_images(files, mode="RGB", **common).map(resize_row)
    return ray.data.read_images(files, mode="RGB", size=(SIDE, SIDE), **common)


@contextmanager
def prepare(given: argparse.Namespace) -> Iterator[Run]:
    """Yield the run function on a new local cluster, which is stopped on exit."""
    if given.concurrency * given.actor_cpus >= given.cpus:  # Ray would wait forever
        raise SystemExit("The actors occupy all cores of Ray, so none is left for reading. Lower --actor-cpus.")
    with tempfile.TemporaryDirectory(prefix="ray") as scratch:
        ray.init("local", num_cpus=given.cpus, include_dashboard=False, log_to_driver=False, _temp_dir=scratch)
        ray.data.DataContext.get_current().enable_progress_bars = False

        def run(folder: Path, output: Path) -> None:
            files = [str(file) for file in list_jpegs(folder)]
            features = read_pixels(files, given.read, given.blocks).map_batches(
                Embedder,
                fn_constructor_args=(given, folder),
                batch_size=given.batch,
                compute=ray.data.ActorPoolStrategy(size=given.concurrency),
                num_cpus=given.actor_cpus,
            )
            features.write_parquet(str(output))

        try:
            yield run
        finally:
            ray.shutdown()


def main() -> None:
    parser = make_parser("Featurize with Ray Data.")
    parser.add_argument("--read", choices=("resized", "images", "bytes"), default="resized")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--concurrency", type=int, default=1, help="actors with the model")
    parser.add_argument("--actor-cpus", type=float, default=1.0, help="cores per actor; reading needs some too")
    parser.add_argument("--cpus", type=int, default=2, help="cores of the Ray cluster")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch per actor; 0: Ray's default")
    parser.add_argument("--blocks", type=int, default=0, help="blocks of the read; 0: Ray's default")
    measure("ray_data", parser, prepare)


if __name__ == "__main__":
    main()

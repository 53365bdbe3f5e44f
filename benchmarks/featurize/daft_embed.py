"""Featurize with Daft as its documentation shows: glob, download, decode and resize expressions, a class that embeds.

    $(python of the environment daft) benchmarks/featurize/daft_embed.py --small DIR --images DIR --backbone NAME \
        --weights FILE --output DIR

--decode native: Daft's own decoder and resize, in Rust, with slightly different features than Pillow's.
--decode pillow: the class decodes the image as the other engines do. --output is a folder.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.update({"DO_NOT_TRACK": "true", "DAFT_ANALYTICS_ENABLED": "0", "DAFT_PROGRESS_BAR": "0"})  # read at import
# Processes that Daft starts for the class do not have the script's folder on their path.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))

import daft
import numpy as np
import torch
from command import Run, make_parser, measure
from daft import DataType, col
from daft.functions import decode_image, download, resize, substr
from networks import SIDE, FromPixels, load_pixels, load_pretrained


def make_embedder(given: argparse.Namespace) -> Any:
    """Return the instance to call on a column of images, encoded or not; Daft creates the network at first use."""

    @daft.cls(max_concurrency=given.concurrency or None, use_process=given.processes)
    class Embedder:
        def __init__(self) -> None:
            if given.threads:
                torch.set_num_threads(given.threads)
            self.network = FromPixels(load_pretrained(given.backbone, given.weights)).eval()

        @daft.method.batch(return_dtype=DataType.list(DataType.float32()), batch_size=given.batch)
        def __call__(self, images: daft.Series) -> Any:
            rows = images.to_pylist()
            if given.decode == "pillow":
                rows = [np.asarray(load_pixels(content)) for content in rows]
            if not rows:
                return []
            with torch.inference_mode():
                return list(self.network(torch.from_numpy(np.stack(rows))).numpy())

    return Embedder()


@contextmanager
def prepare(given: argparse.Namespace) -> Iterator[Run]:
    """Yield the run function; all runs share one instance of the class."""
    daft.set_runner_native()
    embed = make_embedder(given)

    def run(folder: Path, output: Path) -> None:
        images = daft.from_glob_path(f"{folder}/**/*.jpg")
        image = download(col("path"))
        if given.decode == "native":
            image = resize(decode_image(image), SIDE, SIDE)
        path = substr(col("path"), len(f"file://{folder}/"))
        images.select(path.alias("path"), embed(image).alias("features")).write_parquet(str(output))

    yield run


def main() -> None:
    parser = make_parser("Featurize with Daft.")
    parser.add_argument("--decode", choices=("native", "pillow"), default="native")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--concurrency", type=int, default=0, help="instances of the class; 0: Daft's default")
    parser.add_argument(
        "--processes", action=argparse.BooleanOptionalAction, help="one process per instance; default: Daft's"
    )
    parser.add_argument("--threads", type=int, default=0, help="threads of torch per instance; 0: torch's default")
    measure("daft_embed", parser, prepare)


if __name__ == "__main__":
    main()

"""Featurize with Daft in its documented form: glob, download, decode and resize expressions, a class that embeds.

    $(python of the environment daft) benchmarks/featurize/daft_embed.py --small DIR --images DIR --backbone NAME \
        --weights FILE --output DIR

--decode native: Daft's own decoder and resize, in Rust: other code than Pillow's, and so slightly other features.
--decode pillow: the class takes the encoded image and does what the other engines do. --output is a folder.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.update({"DO_NOT_TRACK": "true", "DAFT_ANALYTICS_ENABLED": "0", "DAFT_PROGRESS_BAR": "0"})  # read at import
# Processes that Daft starts for the class do not look into the script's folder.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))

import daft
import numpy as np
import torch
from command import Run, measure, parser_of
from daft import DataType, col
from daft.functions import decode_image, download, resize, substr
from networks import SIDE, FromPixels, pixels_of, pretrained


def embedder(given: argparse.Namespace) -> Any:
    """Give the instance to call on a column of images, encoded or not; Daft makes the network at first use."""

    @daft.cls(max_concurrency=given.concurrency or None, use_process=given.processes)
    class Embedder:
        def __init__(self) -> None:
            if given.threads:
                torch.set_num_threads(given.threads)
            self.network = FromPixels(pretrained(given.backbone, given.weights)).eval()

        @daft.method.batch(return_dtype=DataType.list(DataType.float32()), batch_size=given.batch)
        def __call__(self, images: daft.Series) -> Any:
            rows = images.to_pylist()
            if given.decode == "pillow":
                rows = [np.asarray(pixels_of(content)) for content in rows]
            if not rows:
                return []
            with torch.inference_mode():
                return list(self.network(torch.from_numpy(np.stack(rows))).numpy())

    return Embedder()


@contextmanager
def prepare(given: argparse.Namespace) -> Iterator[Run]:
    """Give the run with one instance of the class for all runs."""
    daft.set_runner_native()
    embed = embedder(given)

    def run(folder: Path, output: Path) -> None:
        images = daft.from_glob_path(f"{folder}/**/*.jpg")
        image = download(col("path"))
        if given.decode == "native":
            image = resize(decode_image(image), SIDE, SIDE)
        path = substr(col("path"), len(f"file://{folder}/"))
        images.select(path.alias("path"), embed(image).alias("features")).write_parquet(str(output))

    yield run


def main() -> None:
    parser = parser_of("Featurize with Daft.")
    parser.add_argument("--decode", choices=("native", "pillow"), default="native")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--concurrency", type=int, default=0, help="instances of the class; 0: as Daft chooses")
    parser.add_argument("--processes", action=argparse.BooleanOptionalAction, help="one a process; else Daft chooses")
    parser.add_argument("--threads", type=int, default=0, help="of torch in an instance; 0: torch's default")
    measure("daft_embed", parser, prepare)


if __name__ == "__main__":
    main()

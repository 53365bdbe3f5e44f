"""Featurize without Spark, tuned by the guides of PyTorch: torch and a DataLoader.

    python benchmarks/featurize/bare_loop.py --small DIR --images DIR --backbone NAME --weights FILE --output FILE
    python benchmarks/featurize/bare_loop.py --tune --small DIR --backbone NAME --weights FILE

Workers decode and resize with Pillow and pass uint8 pixels, a quarter of the size of floats. The main process
normalises and infers: channels_last, all batches of one shape, optionally compiled. --tune tries settings on --small
instead, likely ones first, and prints each with its warm rate, then the best as JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from command import Run, list_jpegs, make_parser, make_table, measure, time_run
from networks import FromPixels, load_pixels, load_pretrained
from torch.utils.data import DataLoader, Dataset

Infer = Callable[[torch.Tensor], torch.Tensor]


class Images(Dataset):
    """Dataset of the pixels of the files."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(np.array(load_pixels(self.files[index].read_bytes())))


def featurize(infer: Infer, files: list[Path], batch: int, workers: int) -> np.ndarray:
    """Return the features of the files, in their order."""
    chunks = []
    for pixels in DataLoader(Images(files), batch_size=batch, num_workers=workers):
        count = len(pixels)
        if count < batch:  # another shape would be compiled again, and set up again by oneDNN
            pixels = torch.cat([pixels, pixels.new_zeros(batch - count, *pixels.shape[1:])])
        chunks.append(infer(pixels)[:count].float().numpy())
    return np.concatenate(chunks)


def make_infer(given: argparse.Namespace, compiled: bool) -> Infer:
    """Return the function from pixels to features. It compiles at its first call."""
    network: Any = FromPixels(load_pretrained(given.backbone, given.weights)).eval()
    if compiled:
        require_compiler()
        import torch._inductor.config as inductor

        inductor.freezing = given.freezing  # weights become constants: normalisation layers are folded, filters packed
        network = torch.compile(network)

    def infer(pixels: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=given.bf16):
            return network(pixels)

    return report_compile_errors(infer) if compiled else infer


def require_compiler() -> None:
    """Raise SystemExit if there is no C++ compiler, which torch.compile needs on a CPU."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise SystemExit(f"torch.compile needs a C++ compiler, but {compiler} was not found. Use --no-compile.")


def report_compile_errors(infer: Infer) -> Infer:
    """Return the function with compiler errors converted to SystemExit with a remedy."""

    def call(pixels: torch.Tensor) -> torch.Tensor:
        try:
            return infer(pixels)
        except Exception as error:  # dynamo, inductor and g++ raise many kinds
            raise SystemExit(f"torch.compile failed; use --no-compile. {type(error).__name__}: {error}") from error

    return call


@contextmanager
def prepare(given: argparse.Namespace) -> Iterator[Run]:
    """Yield the run function; all runs share one network, so that it is compiled once."""
    torch.set_num_threads(given.threads)
    infer = make_infer(given, given.compile)

    def run(folder: Path, output: Path) -> None:
        files = list_jpegs(folder)
        features = featurize(infer, files, given.batch, given.workers)
        pq.write_table(make_table([str(file.relative_to(folder)) for file in files], features), output)

    yield run


def tuning_grid() -> list[dict[str, Any]]:
    """Return the settings that --tune tries, likely ones first.

    Left out: no worker with one thread, which leaves a core idle, and two workers with two threads on two cores.
    """
    batches, processes = (8, 4, 16, 1, 64), ((1, 2), (1, 1), (2, 1), (0, 2))
    return [
        {"batch": batch, "workers": workers, "threads": threads, "compile": compiled}
        for batch, (workers, threads), compiled in itertools.product(batches, processes, (True, False))
    ]


def tune(given: argparse.Namespace) -> None:
    """Try settings until all are tried or the time is up, and print the best."""
    end = time.monotonic() + given.tune_seconds
    count = len(list_jpegs(given.small))
    tried: list[tuple[float, dict[str, Any]]] = []
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "features.parquet"
        for setting in tuning_grid():
            if time.monotonic() > end:
                print(f"{given.tune_seconds} s are up: {len(tried)} of {len(tuning_grid())} tried", flush=True)
                break
            torch._dynamo.reset()  # code is compiled for a number of threads, and at most 8 shapes are cached
            with prepare(argparse.Namespace(**{**vars(given), **setting})) as run:
                cold, warm = (time_run(run, given.small.resolve(), output) for _ in range(2))
            tried.append((count / warm, setting))
            print(f"{count / warm:6.1f}/s, first {cold:.1f} s: {json.dumps(setting)}", flush=True)
    rate, best = max(tried, key=lambda trial: trial[0])
    print(json.dumps({**best, "bf16": given.bf16, "freezing": given.freezing, "rate": round(rate, 1)}), flush=True)


def main() -> None:
    parser = make_parser("Featurize with torch and a DataLoader.")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--workers", type=int, default=1, help="processes that decode; 0: the main process")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch in the main process")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=False)
    parser.add_argument(
        "--freezing", action=argparse.BooleanOptionalAction, default=True, help="freeze weights when compiling"
    )
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--tune", action="store_true", help="try settings on --small")
    parser.add_argument("--tune-seconds", type=int, default=480, help="start no trial after this time")
    given = parser.parse_args()
    if not given.tune:
        measure("bare_loop", parser, prepare)
    elif given.small is None:
        parser.error("--tune needs --small")
    else:
        tune(given)


if __name__ == "__main__":
    main()

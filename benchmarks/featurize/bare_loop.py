"""Featurize without a cluster, as an engineer writes it who has read the tuning guides: torch and its DataLoader.

    python benchmarks/featurize/bare_loop.py --small DIR --images DIR --backbone NAME --weights FILE --output FILE
    python benchmarks/featurize/bare_loop.py --tune --small DIR --backbone NAME --weights FILE

Workers decode and resize with Pillow and hand over uint8, a quarter of what floats are; the main process normalises and
infers, channels_last, all batches of one shape, compiled if asked. --tune tries settings on --small instead, the likely
ones first, prints each with its warm rate, and last the best as JSON.
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
from command import Run, jpegs, measure, parser_of, table_of, timed
from networks import FromPixels, pixels_of, pretrained
from torch.utils.data import DataLoader, Dataset

Infer = Callable[[torch.Tensor], torch.Tensor]


class Images(Dataset):
    """Give the pixels of the files, one at a time."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(np.array(pixels_of(self.files[index].read_bytes())))


def featurize(infer: Infer, files: list[Path], batch: int, workers: int) -> np.ndarray:
    """Give the features of the files, in their order."""
    chunks = []
    for pixels in DataLoader(Images(files), batch_size=batch, num_workers=workers):
        count = len(pixels)
        if count < batch:  # another shape would be compiled anew, and set up anew by oneDNN
            pixels = torch.cat([pixels, pixels.new_zeros(batch - count, *pixels.shape[1:])])
        chunks.append(infer(pixels)[:count].float().numpy())
    return np.concatenate(chunks)


def inference(given: argparse.Namespace, compiled: bool) -> Infer:
    """Give the function from pixels to features. Compiling happens at its first call."""
    network: Any = FromPixels(pretrained(given.backbone, given.weights)).eval()
    if compiled:
        require_compiler()
        import torch._inductor.config as inductor

        inductor.freezing = given.freezing  # weights become constants: normalisation layers are folded, filters packed
        network = torch.compile(network)

    def infer(pixels: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=given.bf16):
            return network(pixels)

    return explained(infer) if compiled else infer


def require_compiler() -> None:
    """Raise SystemExit if there is no C++ compiler, which torch.compile needs on a CPU."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise SystemExit(f"torch.compile needs a C++ compiler, and {compiler} is not there. Use --no-compile.")


def explained(infer: Infer) -> Infer:
    """Give the function with what the compiler raises turned into a SystemExit that says so."""

    def call(pixels: torch.Tensor) -> torch.Tensor:
        try:
            return infer(pixels)
        except Exception as error:  # dynamo, inductor and g++ raise many kinds
            raise SystemExit(f"torch.compile failed; use --no-compile. {type(error).__name__}: {error}") from error

    return call


@contextmanager
def prepare(given: argparse.Namespace) -> Iterator[Run]:
    """Give the run with one network for all runs, so that it is compiled once."""
    torch.set_num_threads(given.threads)
    infer = inference(given, given.compile)

    def run(folder: Path, output: Path) -> None:
        files = jpegs(folder)
        features = featurize(infer, files, given.batch, given.workers)
        pq.write_table(table_of([str(file.relative_to(folder)) for file in files], features), output)

    yield run


def settings() -> list[dict[str, Any]]:
    """List what --tune tries, likely ones first.

    Without a worker one thread leaves a core idle; two workers and two threads are four for two cores: both left out.
    """
    batches, shares = (8, 4, 16, 1, 64), ((1, 2), (1, 1), (2, 1), (0, 2))
    return [
        {"batch": batch, "workers": workers, "threads": threads, "compile": compiled}
        for batch, (workers, threads), compiled in itertools.product(batches, shares, (True, False))
    ]


def tune(given: argparse.Namespace) -> None:
    """Try settings until all are tried or the time is over, and print the best."""
    end = time.monotonic() + given.tune_seconds
    count = len(jpegs(given.small))
    tried: list[tuple[float, dict[str, Any]]] = []
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "features.parquet"
        for setting in settings():
            if time.monotonic() > end:
                print(f"{given.tune_seconds} s are over: {len(tried)} of {len(settings())} tried", flush=True)
                break
            torch._dynamo.reset()  # code is made for a number of threads, and no more than 8 shapes are kept
            with prepare(argparse.Namespace(**{**vars(given), **setting})) as run:
                cold, warm = (timed(run, given.small.resolve(), output) for _ in range(2))
            tried.append((count / warm, setting))
            print(f"{count / warm:6.1f}/s, first {cold:.1f} s: {json.dumps(setting)}", flush=True)
    rate, best = max(tried, key=lambda each: each[0])
    print(json.dumps({**best, "bf16": given.bf16, "freezing": given.freezing, "rate": round(rate, 1)}), flush=True)


def main() -> None:
    parser = parser_of("Featurize with torch and a DataLoader.")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--workers", type=int, default=1, help="processes that decode; 0: in the main one")
    parser.add_argument("--threads", type=int, default=2, help="of torch, in the main process")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=False)
    parser.add_argument("--freezing", action=argparse.BooleanOptionalAction, default=True, help="when compiling")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--tune", action="store_true", help="try settings on --small")
    parser.add_argument("--tune-seconds", type=int, default=480, help="no further try after that")
    given = parser.parse_args()
    if not given.tune:
        measure("bare_loop", parser, prepare)
    elif given.small is None:
        parser.error("--tune needs --small")
    else:
        tune(given)


if __name__ == "__main__":
    main()

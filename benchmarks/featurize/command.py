"""What all engines share: the command line, the order of runs, how a run is timed, and the table that each writes.

Imports the standard library only at the top, so that no engine pays for another's packages.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

BACKBONES = ("squeezenet1_1", "mobilenet_v2", "resnet50")
COMMON = {"small", "images", "backbone", "weights", "output", "once", "tune", "tune_seconds"}

Run = Callable[[Path, Path], None]
"""Featurize all images of a folder into a Parquet file or folder, from the listing to the last byte written."""


def parser_of(description: str) -> argparse.ArgumentParser:
    """Give a parser that knows what all engines take."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--small", type=Path, help="images for the first two runs, to make everything warm")
    parser.add_argument("--images", type=Path, help="images for the run that counts")
    parser.add_argument("--backbone", choices=BACKBONES, required=True)
    parser.add_argument("--weights", default="random", help="a safetensors file, or random")
    parser.add_argument("--output", type=Path, help="Parquet with path and features of --images")
    parser.add_argument("--once", action="store_true", help="only one run, on --images")
    return parser


def measure(
    engine: str,
    parser: argparse.ArgumentParser,
    prepare: Callable[[argparse.Namespace], AbstractContextManager[Run]],
) -> None:
    """Make the engine ready, run it cold, warm and in full (or once), and print the JSON line of its times.

    `prepare` gives the run, and puts away on exit what it has started.
    """
    given = parser.parse_args()
    if given.images is None or given.output is None or (given.small is None and not given.once):
        parser.error("--images and --output are needed, and --small without --once")
    plan = [] if given.once else [("seconds_cold", given.small), ("seconds_warm", given.small)]
    times = {}
    with prepare(given) as run:
        for name, folder in [*plan, ("seconds", given.images)]:
            times[name] = timed(run, folder.resolve(), given.output.resolve())
    line: dict[str, Any] = {"engine": engine, "images": len(jpegs(given.images))}
    if not given.once:
        line["small"] = len(jpegs(given.small))
    options = {key: value for key, value in vars(given).items() if key not in COMMON}
    print(json.dumps({**line, **times, "options": options}), flush=True)


def timed(run: Run, folder: Path, output: Path) -> float:
    """Run once and say how many seconds it took; what an earlier run left at `output` goes first, off the clock."""
    shutil.rmtree(output) if output.is_dir() else output.unlink(missing_ok=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    run(folder, output)
    return round(time.perf_counter() - start, 3)


def jpegs(folder: Path) -> list[Path]:
    """List the images under a folder, sorted."""
    return sorted(folder.rglob("*.jpg"))


def table_of(paths: list[str], features: Any) -> Any:
    """Give an Arrow table of path and features from a float32 array with one row an image, without copying it."""
    import numpy as np
    import pyarrow as pa

    features = np.ascontiguousarray(features, dtype=np.float32)
    offsets = np.arange(len(features) + 1, dtype=np.int32) * features.shape[1]
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(features.reshape(-1)))
    return pa.table({"path": pa.array(paths, pa.string()), "features": lists})

"""Shared by all engines: command line, order of runs, timing, and the output table.

The top level only imports the standard library, so that no engine needs another's packages.
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
"""Function that featurizes all images of a folder into a Parquet file or folder, listing and writing included."""


def make_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options of all engines."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--small", type=Path, help="images for the first two runs, the warm-up")
    parser.add_argument("--images", type=Path, help="images for the measured run")
    parser.add_argument("--backbone", choices=BACKBONES, required=True)
    parser.add_argument("--weights", default="random", help="safetensors file, or random")
    parser.add_argument("--output", type=Path, help="Parquet file or folder for path and features")
    parser.add_argument("--once", action="store_true", help="only one run, on --images")
    return parser


def measure(
    engine: str,
    parser: argparse.ArgumentParser,
    prepare: Callable[[argparse.Namespace], AbstractContextManager[Run]],
) -> None:
    """Run the engine cold, warm and in full (or once), and print its times as a JSON line.

    `prepare` yields the run function and cleans up on exit.
    """
    given = parser.parse_args()
    if given.images is None or given.output is None or (given.small is None and not given.once):
        parser.error("--images and --output are needed, and --small without --once")
    plan = [] if given.once else [("seconds_cold", given.small), ("seconds_warm", given.small)]
    times = {}
    with prepare(given) as run:
        for name, folder in [*plan, ("seconds", given.images)]:
            times[name] = time_run(run, folder.resolve(), given.output.resolve())
    line: dict[str, Any] = {"engine": engine, "images": len(list_jpegs(given.images))}
    if not given.once:
        line["small"] = len(list_jpegs(given.small))
    options = {key: value for key, value in vars(given).items() if key not in COMMON}
    print(json.dumps({**line, **times, "options": options}), flush=True)


def time_run(run: Run, folder: Path, output: Path) -> float:
    """Run once and return the seconds; the output of an earlier run is deleted first, outside the measurement."""
    shutil.rmtree(output) if output.is_dir() else output.unlink(missing_ok=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    run(folder, output)
    return round(time.perf_counter() - start, 3)


def list_jpegs(folder: Path) -> list[Path]:
    """Return the JPEG files under a folder, sorted."""
    return sorted(folder.rglob("*.jpg"))


def make_table(paths: list[str], features: Any) -> Any:
    """Return an Arrow table of path and features from a float32 array (images x features), without copying it."""
    import numpy as np
    import pyarrow as pa

    features = np.ascontiguousarray(features, dtype=np.float32)
    offsets = np.arange(len(features) + 1, dtype=np.int32) * features.shape[1]
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(features.reshape(-1)))
    return pa.table({"path": pa.array(paths, pa.string()), "features": lists})

"""Measure the limit of the processor: decoding alone, the network alone, and both together, on all cores.

Without Spark and tables: the bytes are in memory, and every core has its own process. The difference to this limit is
the overhead of a pipeline.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from command import list_jpegs

from pipelines.backbones import Backbone, Embedding, load_backbone
from pipelines.engines import load_or_convert
from pipelines.engines.openvino_engine import OpenVinoEngine
from pipelines.spark.session import MALLOC_ENV

CACHE = "~/.cache/irbis/weights"


def measure(files: list[Path], backbone: Backbone, start: Any, results: Any) -> None:
    """Time both parts on the same images, in step with the other processes."""
    contents = [file.read_bytes() for file in files]
    engine = OpenVinoEngine(load_or_convert(backbone, CACHE), backbone)
    engine(np.stack([each for each in map(backbone.load_pixels, contents[:20]) if not isinstance(each, Embedding)]))
    start.wait()
    begin = time.perf_counter()
    pixels = [backbone.load_pixels(each) for each in contents]
    decoded = time.perf_counter() - begin
    start.wait()
    begin = time.perf_counter()
    for i in range(0, len(pixels), engine.batch):
        batch = [each for each in pixels[i : i + engine.batch] if not isinstance(each, Embedding)]
        if batch:
            engine(np.stack(batch))
    results.put((len(files), decoded, time.perf_counter() - begin))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure decoding alone and the network alone, on all cores.")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--precision", default="exact")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--limit", type=int, default=2600, help="maximum number of images")
    given = parser.parse_args()
    os.environ.update({name: str(value) for name, value in MALLOC_ENV.items()})  # as irbis sets it for its workers
    os.environ["OMP_NUM_THREADS"] = "1"
    backbone = load_backbone(given.backbone, weights=given.weights, precision=given.precision)
    load_or_convert(backbone, CACHE)
    files = list_jpegs(given.images)[: given.limit]
    context = get_context("spawn")
    start, results = context.Barrier(given.processes), context.Queue()
    parts = [files[number :: given.processes] for number in range(given.processes)]
    running = [context.Process(target=measure, args=(part, backbone, start, results)) for part in parts]
    for process in running:
        process.start()
    times = [results.get(timeout=600) for _ in running]
    for process in running:
        process.join()
    decode, network = (sum(count / seconds[i] for count, *seconds in times) for i in (0, 1))
    line = {"decode": decode, "network": network, "limit": 1 / (1 / decode + 1 / network)}
    print(json.dumps({"engine": "limit", "images": len(files), **{k: round(v, 1) for k, v in line.items()}}))


if __name__ == "__main__":
    sys.exit(main())

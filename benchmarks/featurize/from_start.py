"""Measure whole processes, with everything they start, load, convert and compile.

`irbis featurize` on an existing table of images, until its rows are committed to Delta; the bare loop until its Parquet
file is written, compiled and not. Caches on disk (class-data archives, converted networks, compiled code) exist for
every measured process, as from the second run on.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections import defaultdict
from pathlib import Path

from rounds import format_spread, run_process

HERE = Path(__file__).resolve().parent
ENGINES = ("bare loop", "bare loop, not compiled", "irbis exact", "irbis fast")


def time_process(command: list[str]) -> float:
    """Return the seconds that a process takes. Raises SystemExit if it fails."""
    start = time.perf_counter()
    run_process(command)
    return time.perf_counter() - start


def stage_command(name: str, workspace: Path, images: Path, *words: str) -> list[str]:
    """Return the command line of a stage."""
    common = ["--images", str(images), "--labels", "folder", "--workspace", str(workspace)]
    return [sys.executable, "-m", "pipelines.cli", name, *common, *words]


def measure_rounds(
    images: Path, backbone: str, weights: Path, loop: list[str], rounds: int, folder: Path
) -> dict[str, list[float]]:
    """Return the seconds of every engine in every round; `loop`: options of the bare loop."""
    times: dict[str, list[float]] = defaultdict(list)
    workspace, output = folder / "workspace", folder / "from_start.parquet"
    shutil.rmtree(workspace, ignore_errors=True)
    images = images.resolve()
    run_process(stage_command("ingest", workspace, images))
    network = ["--weights", str(weights), "--backbone", backbone]
    bare = [sys.executable, str(HERE / "bare_loop.py"), *loop, *network]
    bare += ["--once", "--images", str(images), "--output", str(output)]
    for number in range(-1, rounds):  # the first round fills the caches
        for engine in ENGINES:
            shutil.rmtree(workspace / "tables" / "features", ignore_errors=True)
            if engine.startswith("irbis"):
                precision = f"featurize.precision={engine.removeprefix('irbis ')}"
                command = stage_command("featurize", workspace, images, *network, "--set", precision)
            else:
                command = [*bare, *(["--no-compile"] if engine.endswith("not compiled") else [])]
            seconds = time_process(command)
            if number >= 0:
                times[engine].append(seconds)
                print(f"round {number + 1}, {engine}, whole process: {seconds:.1f} s", file=sys.stderr, flush=True)
    return times


def table(times: dict[str, list[float]]) -> str:
    """Return the Markdown table; ratios are to the faster bare loop of the same round."""
    lines = ["| whole process | s | speed-up over the faster bare loop |", "|---|---|---|"]
    loops = [min(pair) for pair in zip(*(times[engine] for engine in ENGINES[:2]), strict=True)]
    for engine, seconds in times.items():
        ratios = [loop / second for loop, second in zip(loops, seconds, strict=True)]
        lines.append(f"| {engine} | {format_spread(seconds, 1)} | {format_spread(ratios, 2)} |")
    return "\n".join(lines)

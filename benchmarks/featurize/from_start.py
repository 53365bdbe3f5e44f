"""From the command to the last byte: whole processes, with all that they start, load, convert and compile.

`irbis featurize` until its rows are committed to a Delta table, on a table of images that is there; the bare loop
until its Parquet file is written, compiled and not. No process knows anything of the one before, but what is kept on
disk (archives of classes, converted networks, compiled code) is there for each, as it is from the second run on.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections import defaultdict
from pathlib import Path

from rounds import output_of, spread_of

HERE = Path(__file__).resolve().parent
WAYS = ("bare loop", "bare loop, not compiled", "irbis exact", "irbis fast")


def seconds_of(command: list[str]) -> float:
    """Give how long a process takes. Raises SystemExit if it fails."""
    start = time.perf_counter()
    output_of(command)
    return time.perf_counter() - start


def stage(name: str, workspace: Path, images: Path, *words: str) -> list[str]:
    """Give the command of a stage, as users type it."""
    common = ["--images", str(images), "--labels", "folder", "--workspace", str(workspace)]
    return [sys.executable, "-m", "pipelines.cli", name, *common, *words]


def from_start(
    images: Path, backbone: str, weights: Path, loop: list[str], rounds: int, folder: Path
) -> dict[str, list[float]]:
    """Give the seconds of every way in every round; `loop`: the options of the bare loop."""
    found: dict[str, list[float]] = defaultdict(list)
    workspace, output = folder / "workspace", folder / "from_start.parquet"
    shutil.rmtree(workspace, ignore_errors=True)
    images = images.resolve()
    output_of(stage("ingest", workspace, images))
    network = ["--weights", str(weights), "--backbone", backbone]
    bare = [sys.executable, str(HERE / "bare_loop.py"), *loop, *network]
    bare += ["--once", "--images", str(images), "--output", str(output)]
    for number in range(-1, rounds):  # the first fills what is kept on disk
        for way in WAYS:
            shutil.rmtree(workspace / "tables" / "features", ignore_errors=True)
            if way.startswith("irbis"):
                precision = f"featurize.precision={way.removeprefix('irbis ')}"
                command = stage("featurize", workspace, images, *network, "--set", precision)
            else:
                command = [*bare, *(["--no-compile"] if way.endswith("not compiled") else [])]
            seconds = seconds_of(command)
            if number >= 0:
                found[way].append(seconds)
                print(f"round {number + 1}, {way}, from the start: {seconds:.1f} s", file=sys.stderr, flush=True)
    return found


def table(found: dict[str, list[float]]) -> str:
    """Give the Markdown table; ratios are to the faster of both bare loops of the same round."""
    lines = ["| from the start | s | times as fast as the faster bare loop |", "|---|---|---|"]
    loops = [min(pair) for pair in zip(*(found[way] for way in WAYS[:2]), strict=True)]
    for way, seconds in found.items():
        ratios = [loop / each for loop, each in zip(loops, seconds, strict=True)]
        lines.append(f"| {way} | {spread_of(seconds, 1)} | {spread_of(ratios, 2)} |")
    return "\n".join(lines)

"""From the command to the last byte: whole processes, with all that they start, load, convert and compile.

`irbis featurize` until its rows are committed to a Delta table, on a table of pictures that is there; the bare loop
until its Parquet file is written, compiled and not. No process knows anything of the one before, but what is kept on
disk (archives of classes, converted networks, compiled code) is there for each, as it is from the second run on.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
WAYS = ("bare loop", "bare loop, not compiled", "irbis exact", "irbis fast")


def seconds_of(command: list[str]) -> float:
    """Give how long a process takes. Raises SystemExit if it fails."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return time.perf_counter() - start


def stage(name: str, workspace: Path, pictures: Path, backbone: str, weights: Path, precision: str) -> list[str]:
    """Give the command of a stage, as users type it."""
    words = ["--images", str(pictures), "--labels", "folder", "--workspace", str(workspace)]
    if name == "featurize":
        words += ["--backbone", backbone, "--weights", str(weights), "--set", f"featurize.precision={precision}"]
    return [sys.executable, "-m", "pipelines.cli", name, *words]


def from_start(
    pictures: Path, backbone: str, weights: Path, loop: list[str], rounds: int, folder: Path
) -> dict[str, list[float]]:
    """Give the seconds of every way in every round; `loop`: the options of the bare loop."""
    found: dict[str, list[float]] = defaultdict(list)
    workspace, output = folder / "workspace", folder / "from_start.parquet"
    shutil.rmtree(workspace, ignore_errors=True)
    pictures = pictures.resolve()
    seconds_of(stage("ingest", workspace, pictures, backbone, weights, "exact"))
    words = ["--once", "--pictures", str(pictures), "--weights", str(weights), "--backbone", backbone]
    bare = [sys.executable, str(HERE / "bare_loop.py"), *loop, *words, "--output", str(output)]
    for number in range(-1, rounds):  # the first fills what is kept on disk
        for way in WAYS:
            shutil.rmtree(workspace / "tables" / "features", ignore_errors=True)
            command = (
                stage("featurize", workspace, pictures, backbone, weights, way.removeprefix("irbis "))
                if way.startswith("irbis")
                else [*bare, *(["--no-compile"] if way.endswith("not compiled") else [])]
            )
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
        values = (
            f"{statistics.median(each):.{digits}f} ({min(each):.{digits}f}-{max(each):.{digits}f})"
            for each, digits in ((seconds, 1), (ratios, 2))
        )
        lines.append(f"| {way} | {' | '.join(values)} |")
    return "\n".join(lines)

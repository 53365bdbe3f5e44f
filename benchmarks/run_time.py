"""Compare the time of whole commands of two versions of irbis, stage by stage.

    python benchmarks/run_time.py BEFORE AFTER FOLDER [--rounds 5] [--stage train] [--set KEY=VALUE ...]

BEFORE and AFTER are `irbis` executables, each in the environment of its version; FOLDER holds labelled images. Each
round runs `irbis run` with both, in turns and in new workspaces, and the time of a stage is that between two closing
lines. With --stage, the stages before it run once per version, and each round runs that command alone in a copy of the
workspace. Prints medians, minima and maxima, and the ratio AFTER / BEFORE of each round.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

STAGES = ("ingest", "featurize", "train", "score", "report")
CLOSING = re.compile(rf"({'|'.join(STAGES)}): [\d,]+ read, ")


def time_stages(command: Sequence[str]) -> dict[str, float]:
    """Return the seconds of each stage of a command, and of the whole of it. Raises if the command fails."""
    start = last = time.perf_counter()
    seconds = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if match := CLOSING.match(line):
                now = time.perf_counter()
                seconds[match[1]], last = now - last, now
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{''.join(lines)}")
    return {**seconds, "whole command": time.perf_counter() - start}


def prepare(program: str, arguments: Sequence[str], stage: str, workspace: Path) -> None:
    """Run the stages before `stage` once."""
    for earlier in STAGES[: STAGES.index(stage)]:
        subprocess.run([program, earlier, *arguments, "--workspace", str(workspace)], check=True, capture_output=True)


def summarize(name: str, times: Sequence[Sequence[float]]) -> str:
    """Return a row of a table: median, minimum and maximum of both versions and of their ratio."""
    ratios = [after / before for before, after in zip(*times, strict=True)]
    cells = [f"{statistics.median(each):.1f} s ({min(each):.1f} to {max(each):.1f})" for each in times]
    ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return f"| {name} | {' | '.join(cells)} | {ratio} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("images", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stage", choices=STAGES[1:])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    arguments = [part for setting in [f"sources.images={options.images}", *options.set] for part in ("--set", setting)]
    programs = (options.before, options.after)
    rounds: list[list[dict[str, float]]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.stage:
            for i, program in enumerate(programs):
                prepare(program, arguments, options.stage, folder / f"prepared-{i}")
        for number in range(options.rounds):
            times: list[dict[str, float]] = [{}, {}]
            for i in (0, 1) if number % 2 == 0 else (1, 0):
                workspace = folder / "workspace"
                if options.stage:
                    shutil.copytree(folder / f"prepared-{i}", workspace)
                command = [programs[i], options.stage or "run", *arguments, "--workspace", str(workspace)]
                times[i] = time_stages(command)
                shutil.rmtree(workspace)
            rounds.append(times)
            print(f"round {number + 1}: {times}", flush=True)
    print("\n| | before | after | after / before |\n|---|---|---|---|")
    for stage in rounds[0][0]:
        print(summarize(stage, [[times[i][stage] for times in rounds] for i in (0, 1)]))


if __name__ == "__main__":
    main()

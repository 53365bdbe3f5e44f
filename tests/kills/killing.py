"""Kill a command at seeded random moments, finish its work, and look at what is left."""

from __future__ import annotations

import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pyspark.sql import SparkSession

from pipelines.cli.app import main
from pipelines.config.loader import load_settings
from pipelines.workspace.tables import Tables

COMMAND = [sys.executable, "-m", "pipelines.cli"]
SEED = 2026
WANTED = int(os.environ.get("KILLS", "200"))  # of all tests together
IN_A_ROW = 5  # kills of one workspace before its work is finished
EARLIEST = 0.2  # of the time that an undisturbed command takes: before, Python and Java are still starting
# Little work in a few commits, so that a kill meets every part of it: each commit costs seconds.
SETTINGS = {
    "sources.station": "folder:1",
    "ingest.files_per_commit": 90,
    "featurize.images_per_commit": 90,
    "train.bootstrap_resamples": 100,
    "train.reg_params": "0.01",
    "train.max_iter": 6,
    "train.cv_folds": 2,
    "report.gallery_size": 2,
    "spark.master": "local[2]",
}


def options(folder: Path | str, workspace: Path | str) -> list[str]:
    """Return the options of a command on a folder of images and a workspace."""
    settings = [f"--set={key}={value}" for key, value in SETTINGS.items()]
    return ["--images", str(folder), "--workspace", str(workspace), *settings]


def run_here(*words: str) -> None:
    """Run a command in this process and its Spark session; raise AssertionError if it fails."""
    try:
        main([*words])
    except SystemExit as leaving:
        assert not leaving.code, f"irbis {' '.join(words)}: exit code {leaving.code}"


def run_apart(*words: str, folder: Path, env: dict[str, str] | None = None) -> float:
    """Run a command in a process of its own; return the seconds that it took. Raise AssertionError if it fails."""
    start = time.monotonic()
    done = subprocess.run(
        [*COMMAND, *words], cwd=folder, env={**os.environ, **(env or {})}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr[-4000:]}"
    return time.monotonic() - start


@contextmanager
def running(*words: str, folder: Path, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command while the block runs, and end it and all its processes with SIGKILL after it."""
    process = subprocess.Popen(
        [*COMMAND, *words],
        cwd=folder,
        env={**os.environ, **(env or {})},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@dataclass
class Killer:
    """Kill commands of one kind; `seconds` is the time that the fastest undisturbed one has taken."""

    name: str
    seconds: float
    env: dict[str, str] = field(default_factory=dict)
    killed: int = 0
    moments: list[float] = field(default_factory=list)  # shares of `seconds`

    def __post_init__(self) -> None:
        self.chance = random.Random(f"{SEED} {self.name}")

    def kill(self, *words: str, folder: Path) -> bool:
        """Start a command and kill it at a random moment; return False if it ended before."""
        share, start = self.chance.uniform(EARLIEST, 1.0), time.monotonic()
        with running(*words, folder=folder, env=self.env) as process:
            try:
                left = process.wait(share * self.seconds)
            except subprocess.TimeoutExpired:
                self.killed += 1
                self.moments.append(round(share, 2))
                return True
        self.seconds = min(self.seconds, time.monotonic() - start)
        assert left == 0, f"irbis {' '.join(words)} after {self.killed} kills: exit code {left}"
        return False

    def rounds(self, share: int, attempt: Callable[[int, int], None]) -> None:
        """Call `attempt` with a round's number and its kills until there were enough: `share` of 200."""
        kills = math.ceil(share * WANTED / 200)
        for number in range(10 + 4 * kills):
            if self.killed >= kills:
                break
            attempt(number, min(IN_A_ROW, kills - self.killed))
        assert self.killed == kills, f"{self.killed} of {kills} kills: the command ends too soon"
        print(f"\n{self.name}: {self.killed} kills, at {sorted(self.moments)} of {self.seconds:.0f} s")


def copy_of(workspace: Path, target: Path) -> Path:
    """Copy a workspace with its times, as a file system's snapshot would."""
    shutil.copytree(workspace, target, copy_function=shutil.copy2)
    return target


def orphans(spark: SparkSession, workspace: Path, names: Sequence[str] = ("images", "features", "predictions")) -> list:
    """Return the files below a workspace's tables that are of no snapshot and no log, and what lies in scratch."""
    tables, left = Tables.of(spark, load_settings(None, {"workspace": str(workspace)})), []
    for name in names:
        if not tables.exists(name):
            continue
        folder = workspace / "tables" / name
        named = {file.rpartition("/")[2] for file in tables.read(name).inputFiles()}
        for file in folder.rglob("*"):
            is_checksum = file.name.startswith(".") and file.name.endswith(".crc")
            data = file.name[1:-4] if is_checksum else file.name
            is_log = (
                file.parent.name == "_delta_log" and not file.name.endswith(".tmp") and (file.parent / data).exists()
            )
            if file.is_file() and data not in named and not is_log:
                left.append(str(file.relative_to(workspace)))
    return left + [str(file.relative_to(workspace)) for file in (workspace / "scratch").rglob("*") if file.is_file()]

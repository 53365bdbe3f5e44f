"""SIGKILL at random moments, then once more: the tables are those of an undisturbed run."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ..same_tables import assert_same_tables
from .conftest import COMMAND

pytestmark = pytest.mark.slow

KILLS, PER_CLASS = 5, 20
SMALL_COMMITS = [f"--set={key}" for key in ("ingest.files_per_commit=60", "featurize.images_per_commit=60")]
CHEAP = ["--set=train.reg_params=0.03", "--set=train.bootstrap_resamples=100", "--set=report.gallery_size=2"]


@pytest.fixture
def images(tmp_path: Path, shared_data: Path) -> Path:
    """Return a folder of copies of the first images of every class of trashnet, and one bad file."""
    for source in sorted((shared_data / "trashnet").glob("*/")):
        folder = tmp_path / "images" / source.name
        folder.mkdir(parents=True)
        for file in sorted(source.iterdir())[:PER_CLASS]:
            shutil.copy(file, folder)
    (tmp_path / "images" / "trash" / "empty.jpg").write_bytes(b"")
    return tmp_path / "images"


def kill_after(words: list[str], folder: Path, seconds: float) -> bool:
    """Start irbis and kill it with all its processes after a while; say whether it was still running."""
    running = subprocess.Popen(
        [*COMMAND, *words], cwd=folder, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        running.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        return True
    return False


def test_killed_five_times_and_run_again_the_tables_are_those_of_an_undisturbed_run(irbis, images, spark, tmp_path):
    words = ["run", "--images", str(images), *SMALL_COMMITS, *CHEAP]
    start = time.monotonic()
    irbis(*words, "--workspace", "undisturbed")
    whole = time.monotonic() - start
    chance = random.Random(11)
    killed = [
        kill_after([*words, "--workspace", "killed"], tmp_path, chance.uniform(0.15, 0.9) * whole) for _ in range(KILLS)
    ]
    assert killed[0]
    irbis(*words, "--workspace", "killed")
    assert_same_tables(spark, tmp_path / "undisturbed", tmp_path / "killed")

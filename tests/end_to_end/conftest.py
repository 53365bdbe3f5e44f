"""Run the command as a user does: in a process of its own, from a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.app import main

from .hangs import run_with_limit

Irbis = Callable[..., "subprocess.CompletedProcess[str]"]
COMMAND = [sys.executable, "-m", "pipelines.cli"]
# A training that costs little, where it is not what the test is about.
CHEAP = {"train.cv_folds": 2, "train.reg_params": 0.1, "train.max_iter": 6, "train.bootstrap_resamples": 100}


@pytest.fixture(autouse=True)
def _ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the ledger of whoever runs the tests out of it."""
    monkeypatch.setenv("IRBIS_RUNS__HISTORY_DIR", str(tmp_path / "ledger"))


@pytest.fixture
def irbis(tmp_path: Path) -> Irbis:
    """Return a function that runs `irbis` with the given arguments and checks its exit code."""

    def run(*words: str, code: int = 0, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        done = run_with_limit([*COMMAND, *map(str, words)], tmp_path, {**os.environ, **(env or {})})
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr[-4000:]}"
        return done

    return run


@pytest.fixture
def irbis_here(
    spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Irbis:
    """Return the same function, in this process and its Spark session, for sequences of commands."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, code: int = 0, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        for name, value in (env or {}).items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        try:
            main([*map(str, words)])
            left = 0
        except SystemExit as leaving:
            left = int(leaving.code or 0)
        said = capsys.readouterr()
        assert left == code, f"exit code {left}\n{said.out}\n{said.err}"
        return subprocess.CompletedProcess(list(words), left, said.out, said.err)

    return run


def closing_lines(output: str) -> dict[str, str]:
    """Return the closing line of each stage by its name."""
    return {line.partition(":")[0]: line for line in output.splitlines() if " read, " in line}

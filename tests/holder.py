"""Run a process beside the tests that holds a workspace until it is killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def holder(code: str, workspace: Path | str) -> Iterator[subprocess.Popen[str]]:
    """Yield a process that runs the code with the workspace as its argument, once it has printed `held`."""
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-c", code, str(workspace)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()

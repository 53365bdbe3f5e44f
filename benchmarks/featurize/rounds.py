"""Run a process to its end; format a value with its spread over the rounds."""

from __future__ import annotations

import statistics
import subprocess


def run_process(command: list[str]) -> str:
    """Run a process and return its output. Raises SystemExit with the end of its output if it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def format_spread(values: list[float], digits: int = 0) -> str:
    """Return the median with minimum and maximum."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"

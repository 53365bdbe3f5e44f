"""What comparing engines shares: a process run to its end, and a figure with its spread over the rounds."""

from __future__ import annotations

import statistics
import subprocess


def output_of(command: list[str]) -> str:
    """Run a process and give what it printed. Raises SystemExit with its last words if it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def spread_of(values: list[float], digits: int = 0) -> str:
    """Give the median, with the lowest and the highest."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"

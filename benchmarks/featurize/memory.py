"""What memory a tree of processes holds, read from /proc while it runs (Linux)."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

LOOK_EVERY = 0.2  # seconds


class Watch:
    """Hold the peaks, in MB: of all processes below the followed one together, and of the largest Spark worker."""

    def __init__(self) -> None:
        self.total = self.largest_worker = 0.0
        self._stop, self._thread = threading.Event(), threading.Thread(target=self._look, daemon=True)
        self._root: int | None = None

    def follow(self, process: int) -> None:
        self._root = process
        self._thread.start()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(LOOK_EVERY):
            sizes = {each: resident(each) for each in descendants(self._root or 0)}
            self.total = max(self.total, sum(sizes.values()))
            workers = [size for each, size in sizes.items() if "pyspark.daemon" in command_of(each)]
            self.largest_worker = max([self.largest_worker, *workers])


def descendants(root: int) -> list[int]:
    """Give the process and all below it."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            children.setdefault(parent_of(int(folder.name)), []).append(int(folder.name))
    found, waiting = [], [root]
    while waiting:
        each = waiting.pop()
        found.append(each)
        waiting += children.get(each, [])
    return found


def parent_of(process: int) -> int:
    return int(field(process, "PPid", "0"))


def resident(process: int) -> float:
    """Give resident megabytes; 0 for a process that has ended."""
    return int(field(process, "VmRSS", "0 kB").split()[0]) / 1024


def command_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # ended
        return ""


def field(process: int, name: str, default: str) -> str:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:  # ended
        return default
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:")), default)

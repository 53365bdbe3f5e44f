"""Monitor the memory of a tree of processes through /proc (Linux)."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

INTERVAL = 0.2  # seconds


class MemoryMonitor:
    """Peaks in MB: of the whole process tree, and of the largest Spark worker."""

    def __init__(self) -> None:
        self.total = self.largest_worker = 0.0
        self._stop, self._thread = threading.Event(), threading.Thread(target=self._poll, daemon=True)
        self._root: int | None = None

    def start(self, process: int) -> None:
        self._root = process
        self._thread.start()

    def __enter__(self) -> MemoryMonitor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _poll(self) -> None:
        while not self._stop.wait(INTERVAL):
            sizes = {pid: resident(pid) for pid in descendants(self._root or 0)}
            self.total = max(self.total, sum(sizes.values()))
            workers = [size for pid, size in sizes.items() if "pyspark.daemon" in command_line(pid)]
            self.largest_worker = max([self.largest_worker, *workers])


def descendants(root: int) -> list[int]:
    """Return the process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            children.setdefault(parent(int(folder.name)), []).append(int(folder.name))
    pids, pending = [], [root]
    while pending:
        pid = pending.pop()
        pids.append(pid)
        pending += children.get(pid, [])
    return pids


def parent(process: int) -> int:
    return int(read_field(process, "PPid", "0"))


def resident(process: int) -> float:
    """Return the resident memory in MB; 0 for a process that has ended."""
    return int(read_field(process, "VmRSS", "0 kB").split()[0]) / 1024


def command_line(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # ended
        return ""


def read_field(process: int, name: str, default: str) -> str:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:  # ended
        return default
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:")), default)

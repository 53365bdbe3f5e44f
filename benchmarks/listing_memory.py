"""Measure the driver's memory and time for listing a million names.

    python benchmarks/listing_memory.py [NAMES]

The names are simulated, with the lengths and etags of a camera-trap survey; all code behind them is real. Memory is the
resident set of the driver's Python and JVM, measured before the listing and at its peak.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from pipelines.config.loader import load_settings
from pipelines.sources.listing import list_images
from pipelines.sources.registry import SourceFile
from pipelines.spark.session import get_session
from pipelines.workspace.tables import Tables


class SimulatedSource:
    """A source that only has names."""

    root = "https://surveys.blob.core.windows.net/images/"

    def __init__(self, count: int):
        self.count, self.problems = count, list[str]()

    def list(self) -> Iterator[SourceFile]:
        at = datetime(2024, 6, 1, tzinfo=timezone.utc)
        for number in range(self.count):
            name = f"2024/S{number % 60:02}/CAM{number % 120:03}/100RECNX/RCNX{number:08}.JPG"
            yield SourceFile(self.root + name, name, 2_500_000 + number % 999, at, f"0x8DC81A5C{number:08X}")

    def peek(self, path: str) -> bytes:
        return b""


def resident(pid: int | str) -> float:
    """Return the resident memory of a process in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as workspace:
        settings = load_settings(None, {"workspace": workspace, "sources.labels": "folder"})
        spark = get_session(settings)
        spark.range(10).count()
        jvm = int(spark.sparkContext._jvm.java.lang.ProcessHandle.current().pid())
        peak, over = {"python": 0.0, "JVM": 0.0}, threading.Event()

        def watch() -> None:
            while not over.wait(0.05):
                for name, pid in (("python", os.getpid()), ("JVM", jvm)):
                    peak[name] = max(peak[name], resident(pid))

        base = {"python": resident(os.getpid()), "JVM": resident(jvm)}
        watcher = threading.Thread(target=watch)
        watcher.start()
        start = time.perf_counter()
        listing = list_images(Tables.of(spark, settings), SimulatedSource(count), settings.sources)
        listed = listing.files.where("label is not null").count()
        seconds = time.perf_counter() - start
        over.set()
        watcher.join()
        spark.stop()
    assert listed == count
    print(f"{count:,} names in {seconds:.0f} s")
    for name in base:
        grown = peak[name] - base[name]
        print(f"{name:7} {base[name]:6.0f} MB before, {peak[name]:6.0f} MB at the peak, {grown:+6.0f} MB")


if __name__ == "__main__":
    main()

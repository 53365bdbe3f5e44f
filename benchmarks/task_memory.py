"""Measure the memory of a task that reads large images from a container.

    make azurite && python benchmarks/task_memory.py [IMAGES]

Runs `ingest` with one task at a time and default settings, once over images of 0.1 MB and once over images of 20 MB,
each in its own process. An image is a small JPEG with padding after its end; the container holds copies of it under
many names. Memory is the resident set of Spark's Python worker and of the JVM, after one image was read, and its peak
as the kernel reports it. With IRBIS_INGEST__PARTITION_MEGABYTES=500 a task fetches more images than fit into memory.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # imports the emulator from tests/

import pyarrow as pa
from azure.storage.blob import ContainerClient, ContentSettings
from PIL import Image

from pipelines.config.loader import load_settings
from pipelines.sources.fetch import make_fetch_fn
from pipelines.sources.registry import open_source
from pipelines.spark.session import get_session
from pipelines.stages.ingest import stage as ingest
from tests.azurite import KEY, Azurite

LIMIT = 1000  # MB per task
SIZES = (0.1, 20.0)  # MB


def fill(container: ContainerClient, count: int, size: int) -> None:
    """Upload one image of `size` bytes to a container and copy it to `count` names."""
    file = io.BytesIO()
    Image.new("RGB", (640, 480), "green").save(file, "JPEG")
    content = file.getvalue() + os.urandom(size - len(file.getvalue()))
    container.create_container()
    first = container.upload_blob("a/0.jpg", content, content_settings=ContentSettings(content_type="image/jpeg"))
    for number in range(1, count):
        container.get_blob_client(f"a/{number}.jpg").start_copy_from_url(first.url)


def make_settings(address: str, workspace: Path) -> Any:
    return load_settings(
        None,
        {
            "sources.images": address,
            "azure.account_key": KEY,
            "workspace": str(workspace),
            "spark.master": "local[1]",
        },
    )


def memory(pid: int | str, field: str) -> float:
    """Return VmRSS, the resident memory of a process in MB, or VmHWM, its peak; 0 if the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field)), 0.0)


def workers(jvm: int) -> list[int]:
    """Return the Python workers: children of the daemon, which is a child of the JVM."""
    return [pid for daemon in children(jvm) for pid in children(daemon)]


def children(pid: int) -> list[int]:
    pids = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # threads come and go
            pids += [int(word) for word in listed.read_text().split()]
    return pids


def largest_batch(address: str, workspace: Path) -> float:
    """Return the size in MB of the largest Arrow batch that a task passes to the JVM."""
    settings = make_settings(address, workspace)
    source = open_source(settings)
    names = [{"path": blob.path, "etag": blob.etag, "size": blob.size} for blob in list(source.list())[:20]]
    fetch = make_fetch_fn(source, lambda _: {}, max_bytes=settings.images.max_bytes, threads=settings.ingest.threads)
    return max(batch.nbytes for batch in fetch(iter([pa.RecordBatch.from_pylist(names)]))) / 1e6


def measure(one: str, many: str, count: int, megabytes: float) -> None:
    """Ingest `one`, a container with a single image, as warm-up; then ingest `many` and print time and memory."""
    with tempfile.TemporaryDirectory() as scratch:
        spark = get_session(make_settings(one, Path(scratch) / "one"))
        assert ingest.run(spark, make_settings(one, Path(scratch) / "one")).written == 1
        jvm = int(spark.sparkContext._jvm.java.lang.ProcessHandle.current().pid())
        base = {"worker": max(memory(pid, "VmRSS") for pid in workers(jvm)), "JVM": memory(jvm, "VmRSS")}
        peak, over = dict(base), threading.Event()

        def watch() -> None:
            while not over.wait(0.05):
                peak["worker"] = max([peak["worker"], *(memory(pid, "VmHWM") for pid in workers(jvm))])
                peak["JVM"] = max(peak["JVM"], memory(jvm, "VmHWM"))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        start = time.perf_counter()
        result = ingest.run(spark, make_settings(many, Path(scratch) / "many"))
        seconds = time.perf_counter() - start
        over.set()
        watcher.join()
        spark.stop()
        assert (result.written, result.failures) == (count, {})
        batch = largest_batch(many, Path(scratch) / "many")
    print(f"{count:,} images of {megabytes} MB in {seconds:.0f} s; the largest Arrow batch has {batch:.0f} MB")
    for name, before in base.items():
        print(f"{name:7} {before:6.0f} MB before, {peak[name]:6.0f} MB at the peak, {peak[name] - before:+6.0f} MB")
    verdict = "yes" if peak["worker"] < LIMIT else "NO"
    print(f"under {LIMIT:,} MB a task: {verdict}", flush=True)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as scratch:
        azurite = Azurite.start(Path(scratch))
        try:
            for number, megabytes in enumerate(SIZES):
                one, many = (
                    ContainerClient.from_connection_string(azurite.connection_string, f"{name}{number}")
                    for name in ("one", "many")
                )
                fill(one, 1, 100_000)
                fill(many, count, int(megabytes * 1e6))
                process = multiprocessing.get_context("spawn").Process(
                    target=measure, args=(one.url, many.url, count, megabytes)
                )
                process.start()
                process.join()
                if process.exitcode:
                    raise SystemExit(process.exitcode)
        finally:
            azurite.stop()


if __name__ == "__main__":
    main()

"""Print time and memory for files that are crafted to be expensive to decode: the worst of each format.

    python benchmarks/awkward.py [--without-limits] [WORD ...]

Each file is read as ingest does (its header) and as featurize does (its pixels), each in a process of its own with the
default limits. Memory is the peak of that process minus that for a small image. `--without-limits` skips the checks of
the file structure before decoding. WORDs select the files whose names contain one of them.
"""

from __future__ import annotations

import multiprocessing
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # imports the files from tests/

from pipelines.config.loader import load_settings
from pipelines.errors import ImageError
from pipelines.images import open_image
from pipelines.images.decode import decode
from pipelines.images.header import read_header
from tests.images.crafted import HOSTILE, encoded, grey

LIMITS = load_settings().images
READERS: dict[str, Callable[[bytes], object]] = {
    "header": partial(read_header, max_pixels=LIMITS.max_pixels, max_bytes=LIMITS.max_bytes),
    "pixels": partial(decode, max_pixels=LIMITS.max_pixels, max_bytes=LIMITS.max_bytes),
}
TIMEOUT = 60  # seconds
MAX_MEMORY = 6 * 2**30  # bytes that a process may allocate, so that the machine does not swap


def measure_in_process(pipe: Connection, reader: str, file: Path, has_limits: bool) -> None:
    """Read the file and send seconds, MB and failure."""
    if not has_limits:
        open_image.check_structure = open_image.check_decoding_cost = lambda *_: None
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    content, read, failure = file.read_bytes(), READERS[reader], ""
    read(encoded(grey(16), "PNG"))
    before, start = _peak(), time.perf_counter()
    try:
        read(content)
    except ImageError as error:
        failure = error.failure
    pipe.send((time.perf_counter() - start, _peak() - before, failure))


def _peak() -> float:
    """Return the peak of this process in MB."""
    status = Path("/proc/self/status")  # ru_maxrss on Linux starts with that of the parent
    if status.is_file() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(found[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def measure(reader: str, file: Path, has_limits: bool) -> tuple[str, str, str]:
    """Return seconds, MB and outcome as text."""
    processes = multiprocessing.get_context("spawn")
    ours, theirs = processes.Pipe(duplex=False)
    process = processes.Process(target=measure_in_process, args=(theirs, reader, file, has_limits), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(TIMEOUT):
            return f"> {TIMEOUT}", "?", "(stopped)"
        seconds, memory, failure = ours.recv()
    except EOFError:
        return "?", "?", "(the process died)"
    finally:
        process.kill()
        process.join()
    return f"{seconds:.3f}", f"{memory:,.0f}", failure or "read"


def main(words: list[str]) -> None:
    has_limits = "--without-limits" not in words
    selected = [word.lower() for word in words if not word.startswith("--")]
    file = Path(tempfile.mkstemp()[1])
    print("| file | size, MB | header, s | pixels, s | memory, MB | outcome |")
    print("| --- | ---: | ---: | ---: | ---: | --- |", flush=True)
    for name, make in HOSTILE.items():
        if selected and not any(word in name.lower() for word in selected):
            continue
        size = file.write_bytes(make())
        header, first, _ = measure("header", file, has_limits)
        pixels, second, outcome = measure("pixels", file, has_limits)
        memory = max(first, second, key=lambda text: (text == "?", float(text.replace(",", "").replace("?", "0"))))
        print(f"| {name} | {size / 1e6:,.2f} | {header} | {pixels} | {memory} | {outcome} |", flush=True)
    file.unlink()


if __name__ == "__main__":
    main(sys.argv[1:])

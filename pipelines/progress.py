"""Show the progress of long work: a bar with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

POLL_SECONDS = 0.5  # seconds
LOG_SECONDS = 30.0  # seconds between plain lines: a job's log should stay readable


@contextmanager
def progress(label: str, total: int, done: Callable[[], int]) -> Iterator[None]:
    """Show `done()` of `total` images on stderr while the block runs."""
    stop = threading.Event()
    show = _show_bar if sys.stderr.isatty() else _show_lines
    watcher = threading.Thread(target=show, args=(label, total, done, stop), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def _show_bar(label: str, total: int, done: Callable[[], int], stop: threading.Event) -> None:
    with tqdm(total=total, desc=label, unit=" images", file=sys.stderr, leave=False) as bar:
        while not stop.wait(POLL_SECONDS):
            bar.n = min(done(), total)
            bar.refresh()


def _show_lines(label: str, total: int, done: Callable[[], int], stop: threading.Event) -> None:
    start = time.monotonic()
    while not stop.wait(LOG_SECONDS):
        print(progress_line(label, total, done(), time.monotonic() - start), file=sys.stderr, flush=True)


def progress_line(label: str, total: int, done: int, seconds: float) -> str:
    """Return a line such as `featurize: 1,200 of 2,527 images, 40 images/s, 33 s left`."""
    done = min(done, total)  # retried tasks count twice
    rate = done / seconds if seconds else 0
    left = f"{(total - done) / rate:,.0f} s left" if rate else "time left unknown"
    return f"{label}: {done:,} of {total:,} images, {rate:,.0f} images/s, {left}"

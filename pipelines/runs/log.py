"""The log file of a run, written while it runs."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

FLUSH_SECONDS = 5.0  # seconds between writes, if there is new text


class RunLog:
    """Collector of a run's output, which a thread writes in full whenever there is more."""

    def __init__(self, write: Callable[[str, str], bool]):
        self._write, self._text, self._written = write, "", 0
        self._guard, self._over = threading.Lock(), threading.Event()
        self._writer = threading.Thread(target=self._keep_writing, daemon=True)

    def add(self, text: str) -> None:
        if "\r" not in text:  # redrawn progress bars are left out
            with self._guard:
                self._text += text

    @contextmanager
    def capture_output(self) -> Iterator[None]:
        """Copy what Python writes to stdout and stderr in the block to the log."""
        self._writer.start()
        out: Any = _TeeStream(sys.stdout, self)
        err: Any = _TeeStream(sys.stderr, self)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            yield

    def stop(self) -> None:
        self._over.set()
        if self._writer.is_alive():
            self._writer.join()
        self._write_new()

    def _keep_writing(self) -> None:
        while not self._over.wait(FLUSH_SECONDS):
            self._write_new()

    def _write_new(self) -> None:
        with self._guard:
            text = self._text
        if len(text) > self._written and self._write("log", text):
            self._written = len(text)


class _TeeStream:
    """Stream wrapper that copies the text to the log."""

    def __init__(self, stream: Any, log: RunLog):
        self._stream, self._log = stream, log

    def write(self, text: str) -> int:
        self._log.add(text)
        return int(self._stream.write(text) or 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

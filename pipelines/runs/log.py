"""The log of a run, written while it runs."""

from __future__ import annotations

import contextlib
import errno
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.runs.record import log_file_name, parse_log_file_name

FLUSH_SECONDS = 5.0  # seconds between writes, if there is new text
MAX_FILE_CHARS = 65_536  # after which a store that cannot append gets the next file
# Raised by mounted buckets and Unity Catalog volumes, which cannot append.
CANNOT_APPEND = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.ESPIPE)


class LogFiles:
    """Writer of one task's log, which continues the log of an earlier attempt.

    A local file is appended to. A store that cannot append gets run.log, run.2.log, ...; only the last is rewritten,
    so that the cost of a write does not grow with the log.

    `folder` is the run's folder if it is a local path; `write` writes a file there, `list_names` lists the files.
    """

    def __init__(
        self, task: str, folder: Path | None, write: Callable[[str, str], None], list_names: Callable[[], list[str]]
    ):
        self._task, self._folder, self._write, self._list_names = task, folder, write, list_names
        self._number, self._text = 0, ""

    def append(self, text: str) -> None:
        """Append text to the log. Raises what `write` raises, or OSError."""
        if self._append_to_file(text):
            return
        if not self._number or len(self._text) >= MAX_FILE_CHARS:
            self._number, self._text = self._last_number() + 1, ""
        self._text += text
        self._write(log_file_name(self._task, self._number), self._text)

    def _append_to_file(self, text: str) -> bool:
        """Append to a local file; return False if the store cannot append."""
        if self._folder is None:
            return False
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            with Path(self._folder, log_file_name(self._task, 1)).open("ab") as file:
                file.write(text.encode())
        except OSError as error:
            if error.errno not in CANNOT_APPEND:
                raise
            self._folder = None
        return self._folder is not None

    def _last_number(self) -> int:
        logs = filter(None, map(parse_log_file_name, self._list_names()))
        return max((number for task, number in logs if task == self._task), default=0)


class RunLog:
    """Collector of a run's output. A thread passes new text to `append`, which returns False if it cannot yet."""

    def __init__(self, append: Callable[[str], bool]):
        self._append, self._text = append, ""
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
        if text and self._append(text):
            with self._guard:
                self._text = self._text[len(text) :]


class _TeeStream:
    """Stream wrapper that copies the text to the log."""

    def __init__(self, stream: Any, log: RunLog):
        self._stream, self._log = stream, log

    def write(self, text: str) -> int:
        self._log.add(text)
        return int(self._stream.write(text) or 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

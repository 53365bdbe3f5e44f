"""Write decisions to this session's journal, and read those of all sessions.

A decision is on the disk before it is acknowledged. `pipelines.workspace.journals` appends the journals to the table
labels; it never changes a journal, so that other servers can follow one while it is written. A journal is locked while
its server runs, so that `irbis clean` leaves it alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.atomic_write import sync
from pipelines.schemas import Decision
from pipelines.workspace.journal_files import SUFFIX, format_line, read_lines
from pipelines.workspace.lock import try_lock

MODE = 0o600  # decisions name people


class JournalWriter:
    """The journal of one session; the file is created with the first decision."""

    def __init__(self, folder: Path, session: str):
        self.path = folder / f"{session}{SUFFIX}"
        self._descriptor: int | None = None

    def fault(self) -> str:
        """Return why no decision can be stored; empty if nothing is known that prevents it."""
        folder = self.path.parent
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if self._descriptor is not None or os.access(folder, os.W_OK):
            return ""
        return f"Decisions cannot be stored: {folder} is read-only."

    def append(self, decisions: Sequence[Decision]) -> None:
        """Write decisions and flush them to the disk. Raises OSError, with none of them written."""
        descriptor = self._open()
        before = os.fstat(descriptor).st_size
        data = memoryview(b"".join(map(format_line, decisions)))
        try:
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)  # half a line would join with the next one
            raise

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        if self._descriptor is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, MODE)
            try_lock(self._descriptor)
            sync(self.path.parent)  # the name, too, must survive a crash
        return self._descriptor


class JournalReader:
    """Follows the journals of a folder: each call returns what was appended since the last one."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._read: dict[Path, int] = {}

    def read_new(self) -> Iterator[Decision]:
        """Yield the decisions in whole new lines of all journals. Lines with a fault are left to the merge."""
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            for line in read_lines(path, self._read.get(path, 0)):
                if not line.is_whole:
                    break
                self._read[path] = line.end
                if line.decision:
                    yield line.decision

"""Write decisions to this session's journal, and read those of all sessions.

A decision is on the disk before it is acknowledged. `pipelines.workspace.journals` appends the journals to the table
labels; it never changes a journal, so that other servers can follow one while it is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

from pipelines.atomic_write import sync
from pipelines.schemas import Decision
from pipelines.workspace.journals import format_line

SUFFIX = ".jsonl"
MODE = 0o600  # decisions name people


def parse_line(line: bytes) -> Decision | None:
    """Return the decision in a line of a journal; None if it is none."""
    try:
        values = json.loads(line)
        known = {name: values[name] for name in Decision._fields if name in values}
        if known.get("reviewed_at"):
            moment = datetime.fromisoformat(known["reviewed_at"].replace("Z", "+00:00"))
            known["reviewed_at"] = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        return Decision(**known)
    except (ValueError, TypeError, AttributeError):
        return None


class JournalWriter:
    """The journal of one session; the file is created with the first decision."""

    def __init__(self, folder: Path, session: str):
        self.path = folder / f"{session}{SUFFIX}"
        self._descriptor: int | None = None

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
            sync(self.path.parent)  # the name, too, must survive a crash
        return self._descriptor


class JournalReader:
    """Follows the journals of a folder: each call returns what was appended since the last one."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._read: dict[Path, int] = {}

    def read_new(self) -> Iterator[Decision]:
        """Yield the decisions in complete new lines of all journals. Unreadable lines are left to the merge."""
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            yield from filter(None, map(parse_line, self._read_lines(path)))

    def _read_lines(self, path: Path) -> list[bytes]:
        start = self._read.get(path, 0)
        try:
            with path.open("rb") as file:
                file.seek(start)
                text = file.read()
        except FileNotFoundError:  # somebody removed an old journal
            return []
        complete = text[: text.rfind(b"\n") + 1]
        self._read[path] = start + len(complete)
        return complete.splitlines()

"""The ledger: what this machine has started, here or elsewhere, one small file a run."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pipelines.durable import write_whole
from pipelines.errors import DataError, PlatformError

LOCAL = "local"
SENDING, RUNNING, SUCCEEDED, FAILED, STOPPED = "sending", "running", "succeeded", "failed", "stopped"
ENDED = (SUCCEEDED, FAILED, STOPPED)


@dataclass(frozen=True)
class Entry:
    """Note one run: what was asked for, where it runs, and how it was when it was last seen.

    `words` are those of the command, `settings` what differs from conf/base.yaml, secrets left out, and `folder` the
    place of its log and results. `handle` is what its target needs to find it again; `pid` that of a run on this
    machine. Times are in UTC, as ISO 8601 writes them.
    """

    id: str
    words: tuple[str, ...]
    where: str
    settings: Mapping[str, Any]
    workspace: str
    cwd: str
    started: str
    state: str = RUNNING
    ended: str | None = None
    outcome: str = ""
    handle: Mapping[str, Any] = field(default_factory=dict)
    pid: int | None = None

    @property
    def folder(self) -> str:
        return f"{self.workspace.rstrip('/')}/runs/{self.id}"

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def seconds(self) -> float | None:
        """How long it took, or has taken so far; null where nobody knows when it ended."""
        if self.has_ended and not self.ended:
            return None
        end = datetime.fromisoformat(self.ended) if self.ended else datetime.now(timezone.utc)
        return (end - datetime.fromisoformat(self.started)).total_seconds()


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def new_id(word: str) -> str:
    """Give a name for a run, such as run-20261122-1141-3fa2: sorted by time, and no other's."""
    return f"{word}-{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


class Ledger:
    """Keep the entries in a folder."""

    def __init__(self, folder: str):
        self.folder = Path(folder).expanduser()

    def write(self, entry: Entry) -> Entry:
        """Keep the entry, whole or not at all. Raises PlatformError where the folder cannot be written."""
        text = json.dumps(asdict(entry), indent=2, ensure_ascii=False)
        try:
            write_whole(self.folder / f"{entry.id}.json", text.encode())
        except OSError as error:
            raise PlatformError(
                f"runs.ledger = {self.folder} cannot be written ({error.strerror}). Name another folder: "
                "IRBIS_RUNS__LEDGER=DIR."
            ) from error
        return entry

    def all(self) -> list[Entry]:
        """Give the entries, the newest last. What is no entry of ours is passed over."""
        found = [entry for file in self.folder.glob("*.json") if (entry := _read(file))]
        return sorted(found, key=lambda entry: (entry.started, entry.id))

    def find(self, name: str | None) -> Entry:
        """Give the entry whose id is, or alone begins with, `name`; the newest without one. Raises DataError."""
        entries = self.all()
        if not entries:
            raise DataError(f"No run is noted in {self.folder}. `irbis run` and `irbis submit` note theirs there.")
        if name is None:
            return entries[-1]
        fitting = [entry for entry in entries if entry.id == name] or [e for e in entries if e.id.startswith(name)]
        if len(fitting) != 1:
            ids = ", ".join(entry.id for entry in (fitting or entries)[-5:])
            what = f"{len(fitting)} runs begin with {name}" if fitting else f"There is no run {name}"
            raise DataError(f"{what}. {'They are' if fitting else 'The latest'}: {ids}. `irbis runs` lists all.")
        return fitting[0]


def seen(entry: Entry) -> Entry:
    """Give a run of this machine as it is: one whose process is gone without a word was stopped from outside."""
    if entry.where != LOCAL or entry.has_ended or entry.pid is None or _is_alive(entry.pid):
        return entry
    return replace(entry, state=STOPPED, outcome="its process is gone")


def _is_alive(pid: int) -> bool:
    if os.name == "nt":  # there the question would be a Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's: the number was given away again
        return False
    return True


def _read(file: Path) -> Entry | None:
    try:
        found = json.loads(file.read_text("utf-8"))
        return Entry(**{**found, "words": tuple(found["words"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None  # another version's, or half written by hand

"""The ledger: what this machine has started, here or elsewhere, one small file a run."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast

from pipelines.atomic_write import write_atomic
from pipelines.errors import DataError, PlatformError
from pipelines.processes import Process
from pipelines.runs.record import parse_json

LOCAL = "local"
PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED = "sending", "running", "succeeded", "failed", "stopped"
UNKNOWN = "unknown"  # nobody can tell from here: its process is another machine's, or its record cannot be read
STATES = (PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED)
ENDED = (SUCCEEDED, FAILED, STOPPED)


@dataclass(frozen=True)
class RunRecord:
    """Note one run: what was asked for, where it runs, and how it was when it was last seen.

    `words` are those of the command, `settings` what differs from conf/base.yaml, secrets left out, and `folder` the
    place of its log and results. `handle` is what its target needs to find it again; `process` that of a run on this
    machine, of which earlier versions noted the `pid` alone. Times are in UTC, as ISO 8601 writes them.
    """

    id: str
    command: tuple[str, ...]
    backend: str
    settings: Mapping[str, Any]
    workspace: str
    cwd: str
    started: str
    state: str = RUNNING
    ended: str | None = None
    outcome: str = ""
    handle: Mapping[str, Any] = field(default_factory=dict)
    pid: int | None = None
    process: Process | None = None

    def __post_init__(self) -> None:
        if self.process is None and self.pid is not None:
            object.__setattr__(self, "process", Process(self.pid))

    @property
    def is_readable(self) -> bool:
        """Return whether this is what the record says; else `outcome` says why it cannot be read."""
        return self.backend != UNKNOWN

    @property
    def folder(self) -> str:
        return f"{self.workspace.rstrip('/')}/runs/{self.id}"

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def seconds(self) -> float | None:
        """How long it took, or has taken so far; null where nobody knows when it ended."""
        if (self.has_ended and not self.ended) or not self.is_readable:
            return None
        end = datetime.fromisoformat(self.ended) if self.ended else datetime.now(timezone.utc)
        return (end - datetime.fromisoformat(self.started)).total_seconds()


def utc_now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def new_run_id(word: str) -> str:
    """Give a name for a run, such as run-20261122-1141-3fa2: sorted by time, and no other's."""
    return f"{word}-{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


class RunHistory:
    """Keep the entries in a folder."""

    def __init__(self, folder: str):
        self.folder = Path(folder).expanduser()

    def write(self, entry: RunRecord) -> RunRecord:
        """Keep the entry, whole or not at all. Raises PlatformError where the folder cannot be written."""
        text = json.dumps(asdict(entry), indent=2, ensure_ascii=False)
        try:
            self.folder.mkdir(0o700, parents=True, exist_ok=True)
            write_atomic(self.folder / f"{entry.id}.json", text.encode())
        except OSError as error:
            raise PlatformError(
                f"runs.history_dir = {self.folder} cannot be written ({error.strerror}). Name another folder: "
                "IRBIS_RUNS__HISTORY_DIR=DIR."
            ) from error
        return entry

    def all(self) -> list[RunRecord]:
        """Give the entries, the newest last. A file that is no entry is one of the state UNKNOWN that says why."""
        found = [_read(file) for file in self.folder.glob("*.json")]
        return sorted(found, key=lambda entry: (datetime.fromisoformat(entry.started), entry.id))

    def find(self, name: str | None) -> RunRecord:
        """Give the entry whose id is, or alone begins with, `name`; without one, the newest that can be read.

        Raises DataError.
        """
        entries = self.all()
        if not entries:
            raise DataError(f"No run is noted in {self.folder}. `irbis run` and `irbis submit` note theirs there.")
        if name is None:
            fitting = [entry for entry in entries if entry.is_readable][-1:] or entries[-1:]
            return _require_readable(fitting[0])
        fitting = [entry for entry in entries if entry.id == name] or [e for e in entries if e.id.startswith(name)]
        if len(fitting) != 1:
            ids = ", ".join(entry.id for entry in (fitting or entries)[-5:])
            what = f"{len(fitting)} runs begin with {name}" if fitting else f"There is no run {name}"
            raise DataError(f"{what}. {'They are' if fitting else 'The latest'}: {ids}. `irbis runs` lists all.")
        return _require_readable(fitting[0])


def _require_readable(entry: RunRecord) -> RunRecord:
    if not entry.is_readable:
        raise DataError(f"{entry.id}: {entry.outcome}")
    return entry


def refresh_local(entry: RunRecord) -> RunRecord:
    """Give a run of this machine as it is: one whose process is gone without a word was stopped from outside.

    One of which that cannot be told has the state UNKNOWN.
    """
    process = entry.process
    if entry.backend != LOCAL or entry.has_ended or process is None or process.is_running:
        return entry
    if process.is_gone:
        return replace(entry, state=STOPPED, outcome="its process is gone")
    return replace(entry, state=UNKNOWN, outcome=process.unknown_reason or "")


def _read(file: Path) -> RunRecord:
    try:
        entry = parse_json(RunRecord, file.read_bytes(), lambda reason: _unreadable_record(file, reason))
    except OSError as error:
        return _unreadable_record(file, f"cannot be read ({error.strerror})")
    if entry.is_readable and (fault := _find_fault(entry, file)):
        return _unreadable_record(file, f"cannot be used ({fault})")
    return cast(RunRecord, entry)


def _find_fault(entry: RunRecord, file: Path) -> str | None:
    """Return what the types of a record's values do not show."""
    if entry.id != file.stem:
        return f"its id is {entry.id!r}"
    if entry.state not in STATES:
        return f"its state is {entry.state!r}"
    if not entry.command:
        return "it names no command"
    try:
        _ = entry.seconds
        return None if datetime.fromisoformat(entry.started).tzinfo else "its times have no zone"
    except (ValueError, TypeError) as error:
        return str(error)


def _unreadable_record(file: Path, reason: str) -> RunRecord:
    """Return an entry for a file that cannot be read, so that it is listed, with the time of its last change."""
    try:
        changed = datetime.fromtimestamp(file.lstat().st_mtime, timezone.utc)
    except (OSError, ValueError, OverflowError):
        changed = datetime.fromtimestamp(0, timezone.utc)
    outcome = f"its record {file} {reason}; remove it, or ask the place that the run was sent to"
    started = changed.isoformat(timespec="seconds")
    return RunRecord(file.stem, ("?",), UNKNOWN, {}, "", "", started, state=UNKNOWN, outcome=outcome)

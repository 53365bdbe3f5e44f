"""Run history: the runs started from this machine on any backend, one JSON file each."""

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
PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED = "pending", "running", "succeeded", "failed", "stopped"
UNKNOWN = "unknown"  # its process is on another machine, or its record cannot be read
STATES = (PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED)
ENDED = (SUCCEEDED, FAILED, STOPPED)


@dataclass(frozen=True)
class RunRecord:
    """Entry of the history: what was run, where, and its last known state.

    `command` are its arguments, `settings` those that differ from conf/base.yaml, without secrets, and `folder` holds
    its log and results. `handle` identifies the run on its backend; `process` is that of a run on this machine, of
    which earlier versions recorded only the `pid`. Times are UTC in ISO 8601.
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
        """Return whether the record could be read; if not, `outcome` has the reason."""
        return self.backend != UNKNOWN

    @property
    def folder(self) -> str:
        return f"{self.workspace.rstrip('/')}/runs/{self.id}"

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def seconds(self) -> float | None:
        """Duration of the run, so far if it has not ended; None if the time of its end is unknown."""
        if (self.has_ended and not self.ended) or not self.is_readable:
            return None
        end = datetime.fromisoformat(self.ended) if self.ended else datetime.now(timezone.utc)
        return (end - datetime.fromisoformat(self.started)).total_seconds()


def utc_now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def new_run_id(word: str) -> str:
    """Return a unique id for a run that sorts by time, such as run-20261122-114105-3fa2."""
    return f"{word}-{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


class RunHistory:
    """Folder with the entries."""

    def __init__(self, folder: str):
        self.folder = Path(folder).expanduser()

    def write(self, entry: RunRecord) -> RunRecord:
        """Write the entry atomically. Raises PlatformError if the folder cannot be written."""
        text = json.dumps(asdict(entry), indent=2, ensure_ascii=False)
        try:
            self.folder.mkdir(0o700, parents=True, exist_ok=True)
            write_atomic(self.folder / f"{entry.id}.json", text.encode())
        except OSError as error:
            raise PlatformError(
                f"runs.history_dir = {self.folder} cannot be written ({error.strerror}). Choose another folder: "
                "IRBIS_RUNS__HISTORY_DIR=DIR."
            ) from error
        return entry

    def all(self) -> list[RunRecord]:
        """Return all entries, the newest last. A file that cannot be read becomes an entry of the state UNKNOWN."""
        entries = [_read(file) for file in self.folder.glob("*.json")]
        return sorted(entries, key=lambda entry: (datetime.fromisoformat(entry.started), entry.id))

    def find(self, name: str | None) -> RunRecord:
        """Return the entry with the id `name`, or the only one beginning with it; None: the newest that can be read.

        Raises DataError if there is none, or more than one.
        """
        entries = self.all()
        if not entries:
            raise DataError(f"No runs in {self.folder}. `irbis run` and `irbis submit` record theirs there.")
        if name is None:
            matches = [entry for entry in entries if entry.is_readable][-1:] or entries[-1:]
            return _require_readable(matches[0])
        matches = [entry for entry in entries if entry.id == name] or [e for e in entries if e.id.startswith(name)]
        if len(matches) != 1:
            ids = ", ".join(entry.id for entry in (matches or entries)[-5:])
            what = f"{len(matches)} runs begin with {name}" if matches else f"There is no run {name}"
            raise DataError(f"{what}. {'They are' if matches else 'The latest'}: {ids}. `irbis runs` lists all.")
        return _require_readable(matches[0])


def _require_readable(entry: RunRecord) -> RunRecord:
    if not entry.is_readable:
        raise DataError(f"{entry.id}: {entry.outcome}")
    return entry


def refresh_local(entry: RunRecord) -> RunRecord:
    """Return the entry of a run on this machine with its present state.

    A run that has not ended but whose process is gone was stopped from outside. If the process cannot be checked, the
    state is UNKNOWN.
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
    """Return what is wrong with a record whose values have the right types; None if nothing is."""
    if entry.id != file.stem:
        return f"its id is {entry.id!r}, unlike the file's name"
    if entry.state not in STATES:
        return f"its state is {entry.state!r}"
    if not entry.command:
        return "it names no command"
    try:
        _ = entry.seconds
        return None if datetime.fromisoformat(entry.started).tzinfo else "its times have no time zone"
    except (ValueError, TypeError) as error:
        return str(error)


def _unreadable_record(file: Path, reason: str) -> RunRecord:
    """Return an entry for a file that cannot be read, so that it is listed, with its modification time."""
    try:
        changed = datetime.fromtimestamp(file.lstat().st_mtime, timezone.utc)
    except (OSError, ValueError, OverflowError):
        changed = datetime.fromtimestamp(0, timezone.utc)
    outcome = f"its record {file} {reason}; delete it, or check the run on its backend"
    started = changed.isoformat(timespec="seconds")
    return RunRecord(file.stem, ("?",), UNKNOWN, {}, "", "", started, state=UNKNOWN, outcome=outcome)

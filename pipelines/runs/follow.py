"""Follow a run on any backend: its tasks, its log line by line, and its outcome."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pipelines.errors import AccessError, DataError, UserError
from pipelines.runs.backends.base import Backend, ConnectionLost, Handle, RunStatus
from pipelines.runs.history import FAILED, LOCAL, SUCCEEDED, UNKNOWN, RunHistory, RunRecord, refresh_local, utc_now
from pipelines.runs.record import UNREADABLE, StageRecord, TaskRecord, parse_log_file_name, read_record
from pipelines.safe_paths import find_name_fault, safe_join

MAX_DISCONNECT_SECONDS = 1800.0  # seconds without a connection, after which following gives up
Printer = Callable[[str], None]


class LogTail:
    """Reader of the new lines of a run's logs; each task of the run writes one."""

    def __init__(self, backend: Backend, folder: str):
        self._backend, self._folder = backend, folder
        self._offsets = dict[str, int]()
        self._partial_lines = defaultdict[str, bytes](bytes)  # by task

    def read_new(self, *, is_over: bool = False) -> str:
        """Return the complete lines added since the last call; with `is_over`, also an incomplete last line."""
        files = [(log, name, size) for name, size in self._backend.files(self._folder) if (log := _find_log(name))]
        for (task, _), name, size in sorted(files):
            offset = self._offsets.get(name, 0)
            if size > offset:
                new = self._backend.read(f"{self._folder}/{name}", offset)
                self._offsets[name] = offset + len(new)
                self._partial_lines[task] += new
        texts = []
        for task, new in self._partial_lines.items():
            end = len(new) if is_over else new.rfind(b"\n") + 1
            self._partial_lines[task] = new[end:]
            texts.append(new[:end].decode("utf-8", "replace"))
        return "".join(texts)


def _find_log(name: str) -> tuple[str, int] | None:
    return None if find_name_fault(name) else parse_log_file_name(name)


def get_handle(entry: RunRecord, backend: Backend) -> Handle:
    """Return the backend's handle of a run. If the connection dropped during submission, search for the run by its id.

    Raises DataError if the backend has no such run.
    """
    handle = entry.handle or backend.find(entry.id)
    if not handle:
        raise DataError(
            f"{entry.id} was never started: the connection dropped during submission. Run `irbis repeat {entry.id}`."
        )
    return {**handle, "workspace": handle.get("workspace") or entry.workspace}


def refresh(entry: RunRecord, backend: Backend, history: RunHistory) -> RunRecord:
    """Return the entry with the run's present state, and save it to the history."""
    if entry.has_ended:
        return entry
    handle = get_handle(entry, backend)
    return _save(entry, handle, backend.get_status(handle), backend, history)


def refresh_safely(entry: RunRecord, backend: Callable[[], Backend], history: RunHistory) -> RunRecord:
    """Return the entry with the run's present state; errors become its outcome, so that other runs can be listed."""
    if entry.backend == LOCAL or entry.has_ended or not entry.is_readable:
        return refresh_local(entry)
    try:
        return refresh(entry, backend(), history)
    except (AccessError, DataError) as error:
        return replace(entry, outcome=f"unknown: {error}")
    except UserError as error:  # a backend or a setting that this version does not have
        return replace(entry, state=UNKNOWN, outcome=f"unknown: {error}")
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # the handle is not one of this backend's
        return replace(
            entry, state=UNKNOWN, outcome=f"unknown: its record has no handle of {entry.backend} ({error!r})"
        )


def follow(
    entry: RunRecord,
    backend: Backend,
    history: RunHistory,
    poll_seconds: float,
    print_log: Printer,
    print_status: Printer,
) -> RunRecord:
    """Pass a run's log to `print_log`, and changes of its tasks' states to `print_status`, until the run ends.

    Returns the entry with the final state. Reconnects after a dropped connection; raises AccessError after half an
    hour without one.
    """
    handle, log, printed = get_handle(entry, backend), LogTail(backend, entry.folder), dict[str, str]()
    lost_at: float | None = None
    while True:
        try:
            status = backend.get_status(handle)
            for name, state in status.tasks.items():
                if printed.get(name) != state:
                    print_status(f"{entry.id}: {name} {state}")
            printed = dict(status.tasks)
            if text := log.read_new(is_over=status.has_ended):
                print_log(text)
            if status.has_ended or status.state == UNKNOWN:
                return _save(entry, handle, status, backend, history)
            lost_at = None
        except ConnectionLost as error:
            if lost_at is None:
                lost_at = time.monotonic()
                print_status(f"{entry.id}: {error} Reconnecting; the run continues meanwhile.")
            elif time.monotonic() - lost_at > MAX_DISCONNECT_SECONDS:
                raise AccessError(
                    f"{error} The run may still be running: try `irbis logs {entry.id} --follow` later."
                ) from error
        time.sleep(poll_seconds)


def stage_results(backend: Backend, folder: str) -> list[StageRecord]:
    """Return the results of a run's stages, read from the records of its tasks."""
    return [stage for record in _read_records(backend, folder) for stage in record.stages]


def _read_records(backend: Backend, folder: str) -> list[TaskRecord]:
    """Return the records of a run's tasks, ordered by their end."""
    names = [name for name, _ in backend.files(folder) if name.endswith(".json") and "/" not in name]
    records = [read_record(name, backend.read(f"{folder}/{name}")) for name in names]
    return sorted(records, key=lambda record: record.ended)


def download(backend: Backend, folder: str, to: Path) -> list[Path]:
    """Download a run's record, report and model to a folder; files that are there with the same size are skipped.

    Raises DataError for names that point outside the folder, after downloading all others.
    """
    downloaded, faults = [], []
    for name, size in backend.files(folder):
        try:
            path = safe_join(to, name)
        except DataError as error:
            faults += error.faults
            continue
        if not path.is_file() or path.stat().st_size != size:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.part")
            partial.write_bytes(backend.read(f"{folder}/{name}"))
            partial.replace(path)
        downloaded.append(path)
    if faults:
        raise DataError([*faults, f"The other {len(downloaded):,} files of {folder} are in {to}."])
    return downloaded


def _save(entry: RunRecord, handle: Handle, status: RunStatus, backend: Backend, history: RunHistory) -> RunRecord:
    if status.state == UNKNOWN:  # not saved: on the machine that runs it the state may be known
        return replace(entry, handle=handle, state=UNKNOWN, outcome=status.detail)
    outcome, ended = entry.outcome, None
    if status.has_ended:
        ended = status.ended or utc_now()
        outcome = _describe_outcome(entry, handle, status, backend)
        for name, content in backend.fetch_artifacts(handle).items():
            backend.write(f"{entry.folder}/{name}", content)
    return history.write(replace(entry, handle=handle, state=status.state, outcome=outcome, ended=ended))


def _describe_outcome(entry: RunRecord, handle: Handle, status: RunStatus, backend: Backend) -> str:
    """Return the outcome from the run's own records; if these do not have it, from the backend."""
    if status.state == SUCCEEDED:
        stages = stage_results(backend, entry.folder)
        return stages[-1].outcome if stages else ""
    if status.state == FAILED:
        records = [record for record in _read_records(backend, entry.folder) if record.error]
        reasons = ["; ".join(record.error for record in records)]
        if not records or any(record.has_lost_spark or record.state == UNREADABLE for record in records):
            reasons.append(backend.failure_reason(handle))
        return "\n".join(filter(None, reasons)) or status.detail
    return status.detail

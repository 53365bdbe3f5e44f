"""Follow a run, wherever it is: its tasks, its log line by line, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pipelines.errors import AccessError, DataError, UserError
from pipelines.runs.backends.base import Backend, ConnectionLost, Handle, RunStatus
from pipelines.runs.history import FAILED, LOCAL, SUCCEEDED, UNKNOWN, RunHistory, RunRecord, refresh_local, utc_now
from pipelines.runs.record import UNREADABLE, TaskRecord, StageRecord, read_record
from pipelines.safe_paths import name_fault, path_below

MAX_DISCONNECT_SECONDS = 1800.0  # seconds without an answer after which nobody waits any more
Say = Callable[[str], None]


class LogTail:
    """Give what is new in a run's log; each of its tasks writes one."""

    def __init__(self, backend: Backend, folder: str):
        self._backend, self._folder = backend, folder
        self._shown: dict[str, int] = {}

    def read_new(self, *, is_over: bool = False) -> str:
        """Give the whole lines that were not given before; of a run that is over, what is left."""
        found = []
        for name, size in self._backend.files(self._folder):
            shown = self._shown.get(name, 0)
            if not name.endswith(".log") or size <= shown or name_fault(name):
                continue
            fresh = self._backend.read(f"{self._folder}/{name}")[shown:]
            end = len(fresh) if is_over else fresh.rfind(b"\n") + 1
            self._shown[name] = shown + end
            found.append(fresh[:end].decode("utf-8", "replace"))
        return "".join(found)


def get_handle(entry: RunRecord, backend: Backend) -> Handle:
    """Give what the backend knows the run by; where the line broke while it was sent, it is looked for by its id."""
    handle = entry.handle or backend.find(entry.id)
    if not handle:
        raise DataError(f"{entry.id} was never started: the line broke while it was sent. `irbis repeat {entry.id}`.")
    return {**handle, "workspace": handle.get("workspace") or entry.workspace}


def refresh(entry: RunRecord, backend: Backend, history: RunHistory) -> RunRecord:
    """Give the entry as the run is now, and keep it so."""
    if entry.has_ended:
        return entry
    handle = get_handle(entry, backend)
    return _save(entry, handle, backend.progress(handle), backend, history)


def refresh_safely(entry: RunRecord, backend: Callable[[], Backend], history: RunHistory) -> RunRecord:
    """Give the entry as the run is now; whatever its record holds, the others can be listed too."""
    if entry.backend == LOCAL or entry.has_ended or not entry.is_readable:
        return refresh_local(entry)
    try:
        return refresh(entry, backend(), history)
    except (AccessError, DataError) as error:
        return replace(entry, outcome=f"not known: {error}")
    except UserError as error:  # a place or a setting that this version does not know
        return replace(entry, state=UNKNOWN, outcome=f"not known: {error}")
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # its handle is not one of this place's
        return replace(
            entry, state=UNKNOWN, outcome=f"not known: its record has no handle of {entry.backend} ({error!r})"
        )


def follow(
    entry: RunRecord, backend: Backend, history: RunHistory, poll_seconds: float, say: Say, tell: Say
) -> RunRecord:
    """Pass the run's log to `say`, and word of it to `tell`, until it ends; give its last state.

    A connection that breaks is taken up again; raises AccessError after half an hour without one.
    """
    handle, log, told = get_handle(entry, backend), LogTail(backend, entry.folder), dict[str, str]()
    lost_at: float | None = None
    while True:
        try:
            progress = backend.progress(handle)
            for name, word in progress.tasks.items():
                if told.get(name) != word:
                    tell(f"{entry.id}: {name} {word}")
            told = dict(progress.tasks)
            if text := log.read_new(is_over=progress.has_ended):
                say(text)
            if progress.has_ended or progress.state == UNKNOWN:
                return _save(entry, handle, progress, backend, history)
            lost_at = None
        except ConnectionLost as error:
            if lost_at is None:
                lost_at = time.monotonic()
                tell(f"{entry.id}: {error} Looking again; the run goes on meanwhile.")
            elif time.monotonic() - lost_at > MAX_DISCONNECT_SECONDS:
                raise AccessError(f"{error} The run may go on: `irbis logs {entry.id} --follow` later.") from error
        time.sleep(poll_seconds)


def stage_results(backend: Backend, folder: str) -> list[StageRecord]:
    """Give what the stages of a run gave, as its record has it."""
    return [stage for record in _read_records(backend, folder) for stage in record.stages]


def _read_records(backend: Backend, folder: str) -> list[TaskRecord]:
    """Give the results of each of a run's tasks, in the order of their ends."""
    names = [name for name, _ in backend.files(folder) if name.endswith(".json") and "/" not in name]
    found = [read_record(name, backend.read(f"{folder}/{name}")) for name in names]
    return sorted(found, key=lambda record: record.ended)


def download(backend: Backend, folder: str, to: Path) -> list[Path]:
    """Fetch a run's record, report and model to a folder here; what is there already in full is not fetched again.

    Raises DataError for names that would be written elsewhere, after all others have been fetched.
    """
    got, faults = [], []
    for name, size in backend.files(folder):
        try:
            here = path_below(to, name)
        except DataError as error:
            faults += error.faults
            continue
        if not here.is_file() or here.stat().st_size != size:
            here.parent.mkdir(parents=True, exist_ok=True)
            draft = here.with_name(f".{here.name}.part")
            draft.write_bytes(backend.read(f"{folder}/{name}"))
            draft.replace(here)
        got.append(here)
    if faults:
        raise DataError([*faults, f"The other {len(got):,} files of {folder} are in {to}."])
    return got


def _save(entry: RunRecord, handle: Handle, progress: RunStatus, backend: Backend, history: RunHistory) -> RunRecord:
    if progress.state == UNKNOWN:  # from here; where it runs the record stays right
        return replace(entry, handle=handle, state=UNKNOWN, outcome=progress.detail)
    outcome, ended = entry.outcome, None
    if progress.has_ended:
        ended = progress.ended or utc_now()
        outcome = _describe_outcome(entry, handle, progress, backend)
        for name, content in backend.fetch_artifacts(handle).items():
            backend.write(f"{entry.folder}/{name}", content)
    return history.write(replace(entry, handle=handle, state=progress.state, outcome=outcome, ended=ended))


def _describe_outcome(entry: RunRecord, handle: Handle, progress: RunStatus, backend: Backend) -> str:
    """Say how a run ended: what it said itself, else what the place says of it."""
    if progress.state == SUCCEEDED:
        stages = stage_results(backend, entry.folder)
        return stages[-1].outcome if stages else ""
    if progress.state == FAILED:
        records = [record for record in _read_records(backend, entry.folder) if record.error]
        said = ["; ".join(record.error for record in records)]
        if not records or any(record.has_lost_spark or record.state == UNREADABLE for record in records):
            said.append(backend.failure_reason(handle))
        return "\n".join(filter(None, said)) or progress.detail
    return progress.detail

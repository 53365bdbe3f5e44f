"""Local backend: runs of this machine are not submitted, but listed, followed and cancelled like all others."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.runs.backends.base import Handle, RunRequest, RunStatus, WorkspaceFiles, read_from
from pipelines.runs.history import LOCAL, RunHistory, refresh_local

PATTERN, EXAMPLES = LOCAL, ""


def create(name: str, settings: Settings, files: WorkspaceFiles | None) -> LocalBackend:
    return LocalBackend(RunHistory(settings.runs.history_dir))


class LocalBackend:
    """Backend that takes a run's state from the history and its process."""

    def __init__(self, history: RunHistory):
        self._history = history

    def validate(self, settings: Mapping[str, Any]) -> list[str]:
        return []

    def upload_file(self, file: Path, workspace: str) -> str:
        return str(file.absolute())

    def submit(self, job: RunRequest, workspace: str) -> Handle:
        raise DataError(f"Runs on this machine are not submitted but started: irbis {' '.join(job.words)}.")

    def find(self, identifier: str) -> Handle | None:
        return {"id": identifier}

    def get_status(self, handle: Handle) -> RunStatus:
        entry = refresh_local(self._history.find(handle["id"]))
        return RunStatus(entry.state, entry.outcome, ended=entry.ended)

    def failure_reason(self, handle: Handle) -> str:
        return self._history.find(handle["id"]).outcome

    def fetch_artifacts(self, handle: Handle) -> Mapping[str, bytes]:
        return {}

    def cancel(self, handle: Handle) -> None:
        process = self._history.find(handle["id"]).process
        if process is not None and not process.send(signal.SIGINT):
            reason = process.unknown_reason or "its process is gone"
            raise DataError(f"{handle['id']} cannot be cancelled from here: {reason}.")

    def files(self, folder: str) -> list[tuple[str, int]]:
        root = Path(_require_local(folder))
        return sorted((f.relative_to(root).as_posix(), f.stat().st_size) for f in root.rglob("*") if f.is_file())

    def read(self, address: str, start: int = 0) -> bytes:
        return read_from(Path(_require_local(address)), start)

    def write(self, address: str, content: bytes) -> None:
        Path(_require_local(address)).write_bytes(content)


def _require_local(folder: str) -> str:
    if "://" in folder:
        raise DataError(f"The run's record is in {folder}, which is not on this machine. Read it there.")
    return folder

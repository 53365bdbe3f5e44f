"""This machine: its runs are not sent anywhere, but they are asked about as the others are."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.runs.backends.base import Handle, RunRequest, RunStatus, WorkspaceFiles
from pipelines.runs.history import RunHistory, refresh_local


def create(name: str, settings: Settings, files: WorkspaceFiles | None) -> LocalBackend:
    return LocalBackend(RunHistory(settings.runs.history_dir))


class LocalBackend:
    """Know of a run what the history knows, and whether its process lives."""

    def __init__(self, history: RunHistory):
        self._history = history

    def validate(self, settings: Mapping[str, Any]) -> list[str]:
        return []

    def upload_file(self, file: Path, workspace: str) -> str:
        return str(file.absolute())

    def submit(self, job: RunRequest, workspace: str) -> Handle:
        raise DataError(f"Here a run is not sent but started: irbis {' '.join(job.words)}.")

    def find(self, identifier: str) -> Handle | None:
        return {"id": identifier}

    def progress(self, handle: Handle) -> RunStatus:
        entry = refresh_local(self._history.find(handle["id"]))
        return RunStatus(entry.state, entry.outcome, ended=entry.ended)

    def failure_reason(self, handle: Handle) -> str:
        return self._history.find(handle["id"]).outcome

    def fetch_artifacts(self, handle: Handle) -> Mapping[str, bytes]:
        return {}

    def cancel(self, handle: Handle) -> None:
        process = self._history.find(handle["id"]).process
        if process is not None and not process.send(signal.SIGINT):
            raise DataError(f"{handle['id']} is not ended from here: {process.unknown_reason or 'its process is gone'}.")

    def files(self, folder: str) -> list[tuple[str, int]]:
        root = Path(_require_local(folder))
        return sorted((f.relative_to(root).as_posix(), f.stat().st_size) for f in root.rglob("*") if f.is_file())

    def read(self, address: str) -> bytes:
        return Path(_require_local(address)).read_bytes()

    def write(self, address: str, content: bytes) -> None:
        Path(_require_local(address)).write_bytes(content)


def _require_local(folder: str) -> str:
    if "://" in folder:
        raise DataError(f"The run's record is in {folder}, which is not of this machine. Look there.")
    return folder

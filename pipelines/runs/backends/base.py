"""The interface of a backend, and the types it shares with its callers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from pipelines.errors import AccessError
from pipelines.runs.history import ENDED

Handle = Mapping[str, Any]  # identifies a run on its backend; stored in the run history


class ConnectionLost(AccessError):
    """The backend did not answer; retrying may succeed."""


@dataclass(frozen=True)
class RunRequest:
    """Request for one run: the command's arguments and its settings.

    `existing` names a deployed job to run instead of a one-time run. For a `notebook` the settings are its parameters.
    `files` are the uploaded files that arguments and settings refer to.
    """

    id: str
    words: tuple[str, ...]
    settings: Mapping[str, Any]
    existing: str | None = None
    notebook: Path | None = None
    files: tuple[str, ...] = ()
    needs_lightgbm: bool = False

    def with_paths(self, paths: Mapping[str, str]) -> RunRequest:
        """Return the request with the names of its files replaced."""
        words = tuple(paths.get(word, word) for word in self.words)
        settings = {key: paths.get(str(value), value) for key, value in self.settings.items()}
        return replace(self, words=words, settings=settings, files=tuple(paths.get(file, file) for file in self.files))


@dataclass(frozen=True)
class RunStatus:
    """State of a run: a state of the history, the backend's own detail, and the states of its tasks by name.

    `page` is the run's URL; `ended` the time of its end, UTC.
    """

    state: str
    detail: str = ""
    tasks: Mapping[str, str] = field(default_factory=dict)
    page: str = ""
    ended: str | None = None

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED


class WorkspaceFiles(Protocol):
    """Access to the files of a workspace by their full paths or URIs. Raises ConnectionError for transient errors."""

    def validate(self, folder: str) -> list[str]:
        """Return the reasons why this machine cannot write to a folder."""

    def files(self, folder: str) -> list[tuple[str, int]]:
        """List the files below a folder as (relative path, bytes). A missing folder has none."""

    def read(self, address: str, start: int = 0) -> bytes:
        """Return a file's bytes from an offset on."""

    def write(self, address: str, content: bytes) -> None:
        """Write a file atomically."""


class Backend(Protocol):
    """A service that runs are submitted to. Methods may raise AccessError; its subclass ConnectionLost is transient."""

    def validate(self, settings: Mapping[str, Any]) -> list[str]:
        """Return the settings that cannot work on this backend, each with its remedy."""

    def upload_file(self, file: Path, workspace: str) -> str:
        """Upload a file unless it is there, and return its address as the run will see it."""

    def submit(self, job: RunRequest, workspace: str) -> Handle:
        """Start a run; `workspace` of the returned handle is where its record will be.

        Idempotent: a second call with the same id does not start a second run.
        """

    def find(self, identifier: str) -> Handle | None:
        """Find a one-time run by its irbis id, after a connection that dropped during submission."""

    def get_status(self, handle: Handle) -> RunStatus:
        """Return the present state of a run."""

    def failure_reason(self, handle: Handle) -> str:
        """Return the backend's own message about a failed run."""

    def fetch_artifacts(self, handle: Handle) -> Mapping[str, bytes]:
        """Return files by name that the backend keeps of a run besides its record, such as an executed notebook."""

    def cancel(self, handle: Handle) -> None:
        """Request the cancellation of a run."""

    def files(self, folder: str) -> list[tuple[str, int]]:
        """List the files below a folder as (relative path, bytes). A missing folder has none."""

    def read(self, address: str, start: int = 0) -> bytes:
        """Return a file's bytes from an offset on."""

    def write(self, address: str, content: bytes) -> None:
        """Write a file."""


def read_from(path: Path, start: int) -> bytes:
    """Return a local file's bytes from an offset on."""
    with path.open("rb") as file:
        file.seek(start)
        return file.read()

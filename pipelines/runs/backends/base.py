"""What every place that runs are sent to can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from pipelines.errors import AccessError
from pipelines.runs.history import ENDED

Handle = Mapping[str, Any]  # what a target needs to find a run again; it is kept in the ledger


class ConnectionLost(AccessError):
    """The place did not answer; it may, if it is asked again."""


@dataclass(frozen=True)
class RunRequest:
    """Ask for one run: the command's words and its settings.

    `existing` names a job that is deployed already, which is run instead of one made for the occasion. Of a `notebook`
    the settings are its parameters. `files` are those that words and settings name, where they are once they have been
    sent.
    """

    id: str
    words: tuple[str, ...]
    settings: Mapping[str, Any]
    existing: str | None = None
    notebook: Path | None = None
    files: tuple[str, ...] = ()
    needs_lightgbm: bool = False

    def with_paths(self, places: Mapping[str, str]) -> RunRequest:
        """Give the job with other names for its files."""
        words = tuple(places.get(word, word) for word in self.words)
        settings = {key: places.get(str(value), value) for key, value in self.settings.items()}
        return replace(self, words=words, settings=settings, files=tuple(places.get(file, file) for file in self.files))


@dataclass(frozen=True)
class RunStatus:
    """Say how a run is: one of the ledger's states, the place's own word for it, its tasks' by name.

    `ended` is the time of its end, in UTC.
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
    """Reach the files of a workspace, by their whole addresses. Raises ConnectionError for what may pass."""

    def validate(self, folder: str) -> list[str]:
        """Say why nothing can be put into a folder from here."""

    def files(self, folder: str) -> list[tuple[str, int]]:
        """List the files below a folder: path below it, and bytes. A folder that is not there has none."""

    def read(self, address: str) -> bytes:
        """Give a file's bytes."""

    def write(self, address: str, content: bytes) -> None:
        """Write a file, whole or not at all."""


class Backend(Protocol):
    """Send runs, and ask about them. All but `connect` may raise AccessError, of which ConnectionLost passes."""

    def validate(self, settings: Mapping[str, Any]) -> list[str]:
        """Say what of the settings cannot be there, each with what to do."""

    def upload_file(self, file: Path, workspace: str) -> str:
        """Send a file, unless it is there, and give its address as the run will see it."""

    def submit(self, job: RunRequest, workspace: str) -> Handle:
        """Start a run; its handle says in `workspace` where its record will be.

        Asked twice with the same id, it is started once.
        """

    def find(self, identifier: str) -> Handle | None:
        """Find a one-time run by our own id: after a connection that was lost while it was started."""

    def progress(self, handle: Handle) -> RunStatus:
        """Say how the run is."""

    def failure_reason(self, handle: Handle) -> str:
        """Give the place's own words for why the run failed."""

    def fetch_artifacts(self, handle: Handle) -> Mapping[str, bytes]:
        """Give what a place keeps of a run besides what it wrote itself, such as an executed notebook: by name."""

    def cancel(self, handle: Handle) -> None:
        """Ask for its end."""

    def files(self, folder: str) -> list[tuple[str, int]]:
        """List the files below a folder: path below it, and bytes. A folder that is not there has none."""

    def read(self, address: str) -> bytes:
        """Give a file's bytes."""

    def write(self, address: str, content: bytes) -> None:
        """Write a file."""

"""Where pictures come from. One interface: list() gives Blobs, fetch() gives bytes; a new kind is a new class."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple, Protocol

from pipelines.errors import DataError, ImageError
from pipelines.schemas import Failure


class Blob(NamedTuple):
    """One listed picture. `path` is its full URI as stored, unescaped; `etag` changes when the bytes do."""

    path: str
    relative_path: str
    size: int
    modified_at: datetime
    etag: str


class Source(Protocol):
    """A place that lists and hands out pictures; travels to the executors, so it must pickle."""

    root: str

    def list(self) -> Iterator[Blob]: ...

    def fetch(self, path: str, etag: str) -> bytes: ...


def open_source(address: str) -> Source:
    """Give the source behind an address: a folder (mounted volumes too) or a file: URI."""
    scheme = address.split("://")[0] if "://" in address else ""
    if scheme in ("", "file"):
        return Folder(address[len("file://") :] if scheme else address)
    raise DataError(f"sources.images = {address}: '{scheme}://' is not known. Give a folder.")


@dataclass
class Folder:
    """A folder and all its subfolders; links are followed, each real folder is read once.

    `problems` collects, while listing, what could not be read.
    """

    folder: str
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = os.path.abspath(os.path.expanduser(self.folder))
        if not os.path.isdir(self.folder):
            what = "is a file" if os.path.exists(self.folder) else "does not exist"
            raise DataError(f"sources.images = {self.folder} {what}. Give a folder of pictures.")

    @property
    def root(self) -> str:
        return Path(self.folder).as_posix().rstrip("/").join(("file://", "/"))

    def list(self) -> Iterator[Blob]:
        """Give every file in a fixed order. Names that are not UTF-8 go to `problems`: tables cannot hold them."""
        seen: set[tuple[int, int]] = set()
        for folder, folders, files in os.walk(self.folder, onerror=self._note, followlinks=True):
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:
                folders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            folders.sort()
            for name in sorted(files):
                blob = self._blob(os.path.join(folder, name))
                if blob:
                    yield blob

    def fetch(self, path: str, etag: str) -> bytes:
        """Give the bytes; raise ImageError if the file went or changed since it was listed."""
        name = path[len("file://") :]
        try:
            with open(name, "rb") as file:
                found = _etag(os.fstat(file.fileno()))
                content = file.read()
        except FileNotFoundError as error:
            raise ImageError(Failure.VANISHED, "the file is gone since it was listed") from error
        except PermissionError as error:
            raise ImageError(Failure.FORBIDDEN, error.strerror or "") from error
        except OSError as error:
            raise ImageError(Failure.UNREADABLE, error.strerror or str(error)) from error
        if found != etag:
            raise ImageError(Failure.CHANGED, "the file changed since it was listed")
        return content

    def _blob(self, name: str) -> Blob | None:
        try:
            name.encode("utf-8")
            status = os.stat(name)
        except UnicodeEncodeError:
            self.problems.append(f"{os.fsencode(name)!r}: the name is not UTF-8; rename the file")
            return None
        except OSError as error:
            self._note(error)
            return None
        modified = datetime.fromtimestamp(status.st_mtime_ns // 1000 / 1e6, tz=timezone.utc)
        relative = Path(os.path.relpath(name, self.folder)).as_posix()
        return Blob(self.root + relative, relative, status.st_size, modified, _etag(status))

    def _note(self, error: OSError) -> None:
        self.problems.append(f"{error.filename}: {error.strerror}")


def _etag(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"

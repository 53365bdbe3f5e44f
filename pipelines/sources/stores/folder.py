"""A folder of images: on a disk, a mounted volume, DBFS or a Unity Catalog volume."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

from pipelines.config.settings import Settings
from pipelines.errors import DataError, ImageError
from pipelines.safe_paths import resolves_below
from pipelines.schemas import Failure, SourceFile
from pipelines.sources.file_kinds import is_system_folder

SCHEMES = ("", "file", "dbfs")
LINK_LEADS_OUT = "a symbolic link that leads out of the folder is not followed; copy what it points to into the folder"
PEEK_BYTES = 512  # enough for a file signature
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
EARLIEST, LATEST = (
    (datetime(year, 1, 1, tzinfo=timezone.utc) - EPOCH) // timedelta(microseconds=1) for year in (1901, 2200)
)


def create_source(address: str, settings: Settings) -> Folder:
    """Return the folder of a path or URI; on Databricks dbfs: is a folder too."""
    return Folder(local_folder(address) or address)


def local_folder(address: str) -> str | None:
    """Return the local path of a folder; None for a URI with any other scheme."""
    scheme, colon, rest = address.partition(":")
    if colon and scheme in SCHEMES:
        mount = "/dbfs" if scheme == "dbfs" and not rest.lstrip("/").startswith("Volumes/") else ""
        return f"{mount}/{rest.lstrip('/')}"
    return None if "://" in address else address


def root_of(address: str) -> str:
    """Return the common prefix of the paths of the images in a folder, which need not exist."""
    folder = os.path.abspath(os.path.expanduser(local_folder(address) or address))
    return Path(folder).as_posix().rstrip("/").join(("file://", "/"))


def path_below(address: str, root: str) -> str | None:
    """Return the path of a folder below a source's root: empty, or ending with a slash; None if it is elsewhere."""
    folder = local_folder(address)
    if folder is None or not root.startswith("file://"):
        return None
    below = os.path.relpath(os.path.realpath(folder), os.path.realpath(root[len("file://") :])).replace(os.sep, "/")
    if below == ".":
        return ""
    return None if below == ".." or below.startswith("../") else f"{below}/"


@dataclass
class Folder:
    """A folder and all its subfolders. Symbolic links are followed only if they stay in the folder.

    `problems` collects, while listing, what could not be read and the links that lead out.
    """

    folder: str
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = os.path.abspath(os.path.expanduser(self.folder))
        if not os.path.isdir(self.folder):
            what = "is a file" if os.path.exists(self.folder) else "does not exist"
            raise DataError(f"sources.images = {self.folder} {what}. Give a folder of images.")

    @property
    def root(self) -> str:
        return root_of(self.folder)

    def list(self) -> Iterator[SourceFile]:
        """Yield every file in a fixed order. Names that are not UTF-8 go to `problems`: tables cannot store them.

        A link to a folder inside yields nothing: its files are listed by the path of their real folder.
        """
        for folder, folders, files in os.walk(self.folder, onerror=self._note_error):
            folders.sort()
            for link in filter(os.path.islink, (os.path.join(folder, name) for name in folders)):
                self._require_below(link)
            for name in sorted(files):
                file = self._to_source_file(os.path.join(folder, name))
                if file:
                    yield file

    def peek(self, path: str) -> bytes:
        """Return the first bytes of a file; empty if it cannot be read."""
        try:
            with open(path[len("file://") :], "rb") as file:
                return file.read(PEEK_BYTES)
        except OSError:
            return b""

    def fetch(self, path: str, etag: str) -> bytes:
        """Return the bytes; raise ImageError if the file was deleted, has changed, or is a link that leads out."""
        name = path[len("file://") :]
        if not resolves_below(name, self.folder):
            raise ImageError(Failure.FORBIDDEN, LINK_LEADS_OUT)
        try:
            with open(name, "rb") as file:
                current_etag = _etag(os.fstat(file.fileno()))
                content = file.read() if current_etag == etag else b""
                current_etag = _etag(os.fstat(file.fileno()))  # the file may have been written during the read
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ImageError(Failure.VANISHED, "the file was deleted after it was listed") from error
        except OSError as error:  # may be a network drive's transient error: the next run retries
            raise ImageError(Failure.FORBIDDEN, error.strerror or str(error)) from error
        if current_etag != etag:
            raise ImageError(Failure.CHANGED, "the file has changed since it was listed")
        return content

    def read_file(self, address: str) -> bytes:
        """Return the bytes of a local file."""
        scheme, _, rest = address.partition("://")
        try:
            return Path(rest if scheme == "file" else address).read_bytes()
        except OSError as error:
            raise DataError(f"{address} cannot be read. Give a local file.") from error

    def _require_below(self, link: str) -> bool:
        """Return whether the target of a link is in the folder; record a link that leads out."""
        if resolves_below(link, self.folder):
            return True
        if not self._is_of_system(link):
            self.problems.append(f"{_to_text(link)}: {LINK_LEADS_OUT}")
        return False

    def _to_source_file(self, name: str) -> SourceFile | None:
        try:
            name.encode("utf-8")
            status = os.lstat(name)
            if stat.S_ISLNK(status.st_mode):
                status = os.stat(name)
                if not self._require_below(name):
                    return None
        except UnicodeEncodeError:
            self.problems.append(f"{os.fsencode(name)!r}: the name is not UTF-8; rename the file")
            return None
        except OSError as error:
            self._note_error(error)
            return None
        if not stat.S_ISREG(status.st_mode):
            self.problems.append(f"{name}: neither file nor folder")  # reading a pipe would block forever
            return None
        relative = name[len(self.folder.rstrip(os.sep)) + 1 :].replace(os.sep, "/")
        return SourceFile(self.root + relative, relative, status.st_size, _modified_at(status), _etag(status))

    def _note_error(self, error: OSError) -> None:
        """Record what could not be read, except system folders (lost+found), which only root can open."""
        if not self._is_of_system(name := str(error.filename or "")):
            self.problems.append(f"{_to_text(name)}: {error.strerror}")

    def _is_of_system(self, name: str) -> bool:
        below = name[len(self.folder.rstrip(os.sep)) + 1 :].replace(os.sep, "/")
        return any(map(is_system_folder, filter(None, below.split("/"))))


def _to_text(name: str) -> str:
    """Return a path as text that tables and terminals can represent."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _modified_at(status: os.stat_result) -> datetime | None:
    """Return the modification time; null before 1901 or after 2200, which tables cannot store."""
    microseconds = status.st_mtime_ns // 1000
    return EPOCH + timedelta(microseconds=microseconds) if EARLIEST <= microseconds <= LATEST else None


def _etag(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"

"""Open a Camera Trap Data Package (Camtrap DP): a folder, its datapackage.json, or a zip archive of it."""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from pipelines.errors import DataError
from pipelines.safe_paths import find_name_fault, resolves_below
from pipelines.sources.label_files import read_columns
from pipelines.sources.label_tables.raw import RawTable

DESCRIPTOR = "datapackage.json"
TABLES = ("deployments", "media", "observations")
ZIP_SIGNATURE = b"PK\x03\x04"
MAX_MEMBER_BYTES = 4 * 2**30  # of one compressed table
MAX_DESCRIPTOR_BYTES = 2**26
SNIFF_BYTES = 2**16
UNREADABLE = (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)
VERSION = re.compile(r"camtrap-dp/(\d+)[.\d]*[^/]*/")


def is_package(path: Path, content: bytes | None = None) -> bool:
    """Return whether a folder or file is a package, judged by names and the beginning of the file.

    `content`: the bytes of a remote file.
    """
    if content is None and path.is_dir():
        return (path / DESCRIPTOR).is_file() or all((path / f"{name}.csv").is_file() for name in TABLES[1:])
    try:
        head = content[:SNIFF_BYTES] if content is not None else _read_head(path)
        if head.startswith(ZIP_SIGNATURE):
            with zipfile.ZipFile(path if content is None else io.BytesIO(content)) as archive:
                return _find_root(archive.namelist()) is not None
    except UNREADABLE:
        return False
    is_json = head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    return is_json and (path.name == DESCRIPTOR or b"camtrap-dp" in head)


def open_package(path: Path, content: bytes | None = None) -> Package:
    """Return the package at a path. Raises DataError if it cannot be read, or is of a later version."""
    if content is not None and not content.startswith(ZIP_SIGNATURE):
        raise DataError(f"{path} lists tables that are files of their own. Give a zip archive of the package instead.")
    try:
        if content is not None or (path.is_file() and _read_head(path).startswith(ZIP_SIGNATURE)):
            archive = zipfile.ZipFile(path if content is None else io.BytesIO(content))
            return _checked(Package(str(path), _find_root(archive.namelist()) or "", archive))
        return _checked(Package(str(path), str(path if path.is_dir() else path.parent), None, path))
    except UNREADABLE as error:
        raise DataError(f"{path} cannot be read: {error}. Copy or download the package again.") from error


def package_files(path: Path) -> list[Path]:
    """Return the files that a local package consists of. Raises DataError as `open_package` does."""
    if path.is_file() and _read_head(path).startswith(ZIP_SIGNATURE):
        return [path]
    package = open_package(path)
    names = [package.names[name] for name in TABLES if name in package.names]
    files = [Path(package.root, name) for name in (DESCRIPTOR, *names)]
    return sorted({file for file in [*files, *([path] if path.is_file() else [])] if file.is_file()})


def is_in_several_files(path: Path) -> bool:
    """Return whether a local path is a package that is not a single file."""
    return is_package(path) and package_files(path) != [path]


@dataclass(frozen=True)
class Package:
    """The tables of a package. `root`: its folder, in the archive if there is one."""

    file: str
    root: str
    archive: zipfile.ZipFile | None = None
    path: Path | None = None

    @cached_property
    def descriptor(self) -> dict[str, Any]:
        """Return datapackage.json; without one, the tables' default names."""
        try:
            with self.path.open("rb") if self.path and self.path.is_file() else self._open(DESCRIPTOR) as stream:
                text = stream.read(MAX_DESCRIPTOR_BYTES + 1)
        except (KeyError, FileNotFoundError):
            return {"resources": [{"name": name, "path": f"{name}.csv"} for name in TABLES]}
        if len(text) > MAX_DESCRIPTOR_BYTES:
            raise DataError(f"{self.file}: {DESCRIPTOR} is larger than any description. Export it again.")
        try:
            found = json.loads(text.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self.file}: {DESCRIPTOR} is truncated or no JSON ({error}). Export it again.") from error
        if not isinstance(found, dict):
            raise DataError(f"{self.file}: {DESCRIPTOR} is not the description of a data package. Export it again.")
        return found

    @cached_property
    def names(self) -> dict[str, str]:
        """Return the file of each table, relative to the package. Raises DataError for files elsewhere."""
        resources = self.descriptor.get("resources")
        listed = [each for each in resources if isinstance(each, dict)] if isinstance(resources, list) else []
        found, faults = {}, []
        for resource in listed:
            name, file = resource.get("name"), resource.get("path")
            if name not in TABLES:
                continue
            if isinstance(file, list) and len(file) == 1:
                file = file[0]
            if not isinstance(file, str):
                faults.append(
                    f"{self.file}: the table {name} is not one file. Export the package with plain CSV files."
                )
            elif "://" in file:
                faults.append(f"{self.file}: the table {name} is at {file}. Download it, and write its name as path.")
            elif fault := find_name_fault(file):
                faults.append(f"{self.file}: the path of table {name} is {file!r}: {fault}. Move it into the package.")
            else:
                found[str(name)] = str(PurePosixPath(file))
        lacking = [name for name in TABLES[1:] if name not in found]
        if lacking and not faults:
            faults.append(
                f"{self.file} has no resource {' and no resource '.join(lacking)}: it is no Camtrap DP package, or a "
                "part of one. Give the whole package."
            )
        if faults:
            raise DataError(faults)
        return found

    @property
    def major_version(self) -> int | None:
        """Return the major version of Camtrap DP; null if nothing says it."""
        match = VERSION.search(json.dumps([self.descriptor.get("profile"), self.descriptor.get("resources")]))
        return int(match[1]) if match else None

    def read(self, table: str, columns: Collection[str]) -> RawTable:
        """Return those of the columns that a table has, as text."""
        name = self.names[table]
        try:
            with self._open(name) as stream:
                if name.endswith(".gz"):
                    with gzip.open(stream) as unpacked:
                        _require_size(f"{self.file}: {name}", cast("IO[bytes]", unpacked))
                        return read_columns(f"{self.file}: {name}", cast("IO[bytes]", unpacked), columns)
                return read_columns(f"{self.file}: {name}", stream, columns)
        except (KeyError, FileNotFoundError) as error:
            raise DataError(f"{self.file} lacks the file {name} of table {table}. Give the whole package.") from error
        except UNREADABLE as error:
            raise DataError(f"{self.file}: {name} cannot be read: {error}. Copy the package again.") from error

    def _open(self, name: str) -> IO[bytes]:
        """Open a file. Raises KeyError or FileNotFoundError if there is none."""
        if self.archive is None:
            path = Path(self.root, name)
            if not resolves_below(path, self.root):
                raise DataError(f"{self.file}: {name} is a link that leads out of the package. Copy the file into it.")
            return path.open("rb")
        info = self.archive.getinfo(f"{self.root}{name}")
        if info.file_size > MAX_MEMBER_BYTES:
            raise DataError(
                f"{self.file}: {name} has {info.file_size:,} bytes. Unpack the archive and give the folder."
            )
        return self.archive.open(info)


def _require_size(file: str, unpacked: IO[bytes]) -> None:
    """Raise DataError if a compressed table is larger than those in an archive may be."""
    while unpacked.read(2**20):
        if unpacked.tell() > MAX_MEMBER_BYTES:
            raise DataError(f"{file} has more than {MAX_MEMBER_BYTES:,} bytes. Unpack it, and write its name as path.")
    unpacked.seek(0)


def _checked(package: Package) -> Package:
    if (version := package.major_version) is not None and version > 1:
        raise DataError(f"{package.file} is of Camtrap DP {version}, which irbis does not read. Export it as 1.0.2.")
    _ = package.names  # raises DataError
    return package


def _read_head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(SNIFF_BYTES)


def _find_root(names: list[str]) -> str | None:
    """Return the shallowest folder of an archive that holds a package, with its slash; null if there is none."""
    for wanted in (DESCRIPTOR, "observations.csv"):
        found = [name[: -len(wanted)] for name in names if PurePosixPath(name).name == wanted]
        if found:
            return min(found, key=lambda root: (root.count("/"), root))
    return None

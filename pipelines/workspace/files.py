"""Read and write small files of a workspace, in a local folder or through Hadoop's file systems."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.atomic_write import open_atomic, write_atomic

BACKUP_SUFFIX = "former"  # of the old file during a replacement

if TYPE_CHECKING:  # `irbis --help` need not load Spark
    from pipelines.workspace.tables import Tables


def file_uri(tables: Tables, name: str) -> str:
    """Return the path or URI of a file; `name` is its path below the workspace."""
    return f"{tables.workspace}/{name}"


def read_text(tables: Tables, name: str) -> str | None:
    """Return the text of a file, null if it does not exist."""
    address = file_uri(tables, name)
    if "://" not in address:
        path = Path(address)
        return path.read_bytes().decode() if path.exists() else None
    filesystem, path = _open_hadoop(tables, address)
    if not filesystem.exists(path):
        path = _hidden_sibling(tables, address, BACKUP_SUFFIX)  # left by a writer that was killed before the rename
        if not filesystem.exists(path):
            return None
    stream = filesystem.open(path)
    try:
        return bytes(tables.spark.sparkContext._jvm.org.apache.commons.io.IOUtils.toByteArray(stream)).decode()
    finally:
        stream.close()


def write_text(tables: Tables, name: str, text: str) -> str:
    """Write a file atomically and return its path or URI. Missing folders are created."""
    address = file_uri(tables, name)
    content = text.encode("utf-8")
    if "://" not in address:
        write_atomic(Path(address), content)
        return address
    filesystem, draft = _open_hadoop(tables, address)[0], _draft(tables, address)
    stream = filesystem.create(draft, True)
    try:
        stream.write(content)
    finally:
        stream.close()
    _replace(tables, address, draft)
    return address


def upload_file(tables: Tables, source: Path, name: str) -> str:
    """Copy a local file into the workspace atomically and return its path or URI there. Missing folders are created."""
    address = file_uri(tables, name)
    if "://" not in address:
        with source.open("rb") as content, open_atomic(Path(address)) as target:
            shutil.copyfileobj(content, target, 2**20)
        return address
    filesystem, draft = _open_hadoop(tables, address)[0], _draft(tables, address)
    local = tables.spark.sparkContext._jvm.org.apache.hadoop.fs.Path(source.absolute().as_uri())
    filesystem.copyFromLocalFile(False, True, local, draft)
    _replace(tables, address, draft)
    return address


def upload_dir(tables: Tables, source: Path, name: str) -> str:
    """Copy a local folder into the workspace and return its path or URI there."""
    address = file_uri(tables, name)
    if "://" not in address:
        shutil.copytree(source, address, dirs_exist_ok=True)
    else:
        filesystem, path = _open_hadoop(tables, address)
        local = tables.spark.sparkContext._jvm.org.apache.hadoop.fs.Path(source.absolute().as_uri())
        filesystem.copyFromLocalFile(False, True, local, path)
    return address


def list_files(tables: Tables, name: str) -> list[tuple[str, int, float]]:
    """Return all files below a folder of a cloud workspace: relative path, bytes, modification time in seconds.

    Empty if the folder does not exist.
    """
    address = file_uri(tables, name)
    filesystem, path = _open_hadoop(tables, address)
    if not filesystem.exists(path):
        return []
    files, entries = [], filesystem.listFiles(path, True)
    start = len(filesystem.makeQualified(path).toString()) + 1
    while entries.hasNext():
        file = entries.next()
        files.append((file.getPath().toString()[start:], file.getLen(), file.getModificationTime() / 1000))
    return files


def remove_folder(tables: Tables, name: str) -> None:
    """Remove a folder of a cloud workspace with all its files. Raises OSError."""
    filesystem, path = _open_hadoop(tables, file_uri(tables, name))
    if not filesystem.delete(path, True):
        raise OSError(f"{path} could not be removed")


def _draft(tables: Tables, address: str) -> Any:
    """Return Hadoop's path of a draft of a file."""
    return _hidden_sibling(tables, address, f"{os.getpid()}.draft")


def _replace(tables: Tables, address: str, draft: Any) -> None:
    """Move a draft onto a file.

    Most of these systems cannot rename onto an existing file: the old one is moved to where `read_text` finds it.
    """
    filesystem, path = _open_hadoop(tables, address)
    backup = _hidden_sibling(tables, address, BACKUP_SUFFIX)
    if filesystem.exists(path):
        filesystem.delete(backup, False)
        _rename(filesystem, path, backup)
    _rename(filesystem, draft, path)
    filesystem.delete(backup, False)


def _hidden_sibling(tables: Tables, address: str, suffix: str) -> Any:
    """Return Hadoop's path of a hidden file in the same folder."""
    folder, _, name = address.rpartition("/")
    return _open_hadoop(tables, f"{folder}/.{name[:80]}.{suffix}")[1]


def _rename(filesystem: Any, old: Any, new: Any) -> None:
    if not filesystem.rename(old, new):
        raise OSError(f"{old} could not be renamed to {new}")


def _open_hadoop(tables: Tables, address: str) -> tuple[Any, Any]:
    """Return Hadoop's file system and path of a URI."""
    context: Any = tables.spark.sparkContext
    path = context._jvm.org.apache.hadoop.fs.Path(address)
    return path.getFileSystem(context._jsc.hadoopConfiguration()), path

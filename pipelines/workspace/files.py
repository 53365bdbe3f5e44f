"""Small text files of a workspace: in its folder, or wherever Spark's file systems reach."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.atomic_write import write_atomic

FORMER = "former"  # the end of the name of a file that is being replaced

if TYPE_CHECKING:  # `irbis --help` need not load Spark
    from pipelines.workspace.tables import Tables


def workspace_uri(tables: Tables, name: str) -> str:
    """Say where a file of the workspace is; `name` is its path below."""
    return f"{tables.workspace}/{name}"


def read_text(tables: Tables, name: str) -> str | None:
    """Give the file's text, null where there is none."""
    address = workspace_uri(tables, name)
    if "://" not in address:
        path = Path(address)
        return path.read_bytes().decode() if path.exists() else None
    system, path = _hadoop(tables, address)
    if not system.exists(path):
        path = _beside(tables, address, FORMER)  # of a writer that was killed before the new one had its name
        if not system.exists(path):
            return None
    stream = system.open(path)
    try:
        return bytes(tables.spark.sparkContext._jvm.org.apache.commons.io.IOUtils.toByteArray(stream)).decode()
    finally:
        stream.close()


def write_text(tables: Tables, name: str, text: str) -> str:
    """Write the file, whole or not at all, and give its address. Folders are made where they are missing."""
    address = workspace_uri(tables, name)
    content = text.encode("utf-8")
    if "://" not in address:
        write_atomic(Path(address), content)
        return address
    system, path = _hadoop(tables, address)
    draft, former = (_beside(tables, address, suffix) for suffix in (f"{os.getpid()}.draft", FORMER))
    stream = system.create(draft, True)
    try:
        stream.write(content)
    finally:
        stream.close()
    # Most of these systems rename onto nothing that is there: the old file steps aside, where `read_text` finds it.
    if system.exists(path):
        system.delete(former, False)
        _rename(system, path, former)
    _rename(system, draft, path)
    system.delete(former, False)
    return address


def upload_dir(tables: Tables, source: Path, name: str) -> str:
    """Copy a folder of this machine into the workspace, and give its address there."""
    address = workspace_uri(tables, name)
    if "://" not in address:
        shutil.copytree(source, address, dirs_exist_ok=True)
    else:
        system, path = _hadoop(tables, address)
        local = tables.spark.sparkContext._jvm.org.apache.hadoop.fs.Path(source.absolute().as_uri())
        system.copyFromLocalFile(False, True, local, path)
    return address


def list_files(tables: Tables, name: str) -> list[tuple[str, int, float]]:
    """Return all files below a folder of a workspace in the cloud: path below it, bytes, seconds of the last change.

    A folder that is not there has none.
    """
    address = workspace_uri(tables, name)
    system, path = _hadoop(tables, address)
    if not system.exists(path):
        return []
    found, files = [], system.listFiles(path, True)
    start = len(system.makeQualified(path).toString()) + 1
    while files.hasNext():
        file = files.next()
        found.append((file.getPath().toString()[start:], file.getLen(), file.getModificationTime() / 1000))
    return found


def remove_folder(tables: Tables, name: str) -> None:
    """Remove a folder of a workspace in the cloud, with all that is in it."""
    system, path = _hadoop(tables, workspace_uri(tables, name))
    if not system.delete(path, True):
        raise OSError(f"{path} could not be removed")


def _beside(tables: Tables, address: str, suffix: str) -> Any:
    """Give Hadoop's path of a hidden file in the same folder."""
    folder, _, name = address.rpartition("/")
    return _hadoop(tables, f"{folder}/.{name[:80]}.{suffix}")[1]


def _rename(system: Any, old: Any, new: Any) -> None:
    if not system.rename(old, new):
        raise OSError(f"{old} could not be renamed to {new}")


def _hadoop(tables: Tables, address: str) -> tuple[Any, Any]:
    """Give Hadoop's file system and path of an address."""
    context: Any = tables.spark.sparkContext
    path = context._jvm.org.apache.hadoop.fs.Path(address)
    return path.getFileSystem(context._jsc.hadoopConfiguration()), path

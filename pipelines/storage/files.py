"""Small text files of a workspace: in its folder, or wherever Spark's file systems reach."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `irbis --help` need not load Spark
    from pipelines.storage.tables import Tables


def address_of(tables: Tables, name: str) -> str:
    """Say where a file of the workspace is; `name` is its path below."""
    return f"{tables.workspace}/{name}"


def read_text(tables: Tables, name: str) -> str | None:
    """Give the file's text, null where there is none."""
    address = address_of(tables, name)
    if "://" not in address:
        path = Path(address)
        return path.read_bytes().decode() if path.exists() else None
    system, path = _hadoop(tables, address)
    if not system.exists(path):
        return None
    stream = system.open(path)
    try:
        return bytes(tables.spark.sparkContext._jvm.org.apache.commons.io.IOUtils.toByteArray(stream)).decode()
    finally:
        stream.close()


def write_text(tables: Tables, name: str, text: str) -> str:
    """Write the file, whole or not at all, and give its address. Folders are made where they are missing."""
    address = address_of(tables, name)
    content = text.encode("utf-8")
    if "://" not in address:
        write_local(Path(address), content)
        return address
    folder, _, last = address.rpartition("/")
    draft = f"{folder}/{_draft_name(last)}"
    system, path = _hadoop(tables, address)
    _, unfinished = _hadoop(tables, draft)
    stream = system.create(unfinished, True)
    try:
        stream.write(content)
    finally:
        stream.close()
    system.delete(path, False)  # most of these systems rename onto nothing that is there
    if not system.rename(unfinished, path):
        raise OSError(f"{draft} could not be renamed to {address}")
    return address


def put_folder(tables: Tables, source: Path, name: str) -> str:
    """Copy a folder of this machine into the workspace, and give its address there."""
    address = address_of(tables, name)
    if "://" not in address:
        shutil.copytree(source, address, dirs_exist_ok=True)
    else:
        system, path = _hadoop(tables, address)
        local = tables.spark.sparkContext._jvm.org.apache.hadoop.fs.Path(source.absolute().as_uri())
        system.copyFromLocalFile(False, True, local, path)
    return address


def write_local(path: Path, content: bytes) -> None:
    """Write a file of this machine, whole or not at all; its folder is made where it is missing."""
    draft = path.with_name(_draft_name(path.name))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _draft_name(name: str) -> str:
    return f".{name[:80]}.{os.getpid()}.draft"


def _hadoop(tables: Tables, address: str) -> tuple[Any, Any]:
    """Give Hadoop's file system and path of an address."""
    context: Any = tables.spark.sparkContext
    path = context._jvm.org.apache.hadoop.fs.Path(address)
    return path.getFileSystem(context._jsc.hadoopConfiguration()), path

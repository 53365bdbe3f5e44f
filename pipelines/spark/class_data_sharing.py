"""Reuse loaded Java classes between local sessions, which saves a third of the time before the first image.

Uses Java's class data sharing (CDS, from version 13 on): the first JVM writes an archive when it exits, after our
process, and later ones map it into memory. An archive of another Spark or Java is ignored.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from pipelines.disk_space import make_private_folder
from pipelines.errors import PlatformError
from pipelines.spark.java import READ_BY_JAVA, Java, read_release_file

ARCHIVE_DIR = Path("~/.cache/irbis/classes")
_ABANDONED_SECONDS = 600  # seconds without a change, after which an unfinished archive is abandoned
_UNUSED_SECONDS = 30 * 86_400  # seconds without use, after which an archive is deleted
_NO_LOGGING = "-Xlog:cds*=off"  # otherwise Java lists every class that it cannot archive
# Agents rewrite classes while they load, and Java 17 has crashed with Flight Recorder on archived classes.
_REWRITES = re.compile(r"-javaagent|-agent(lib|path)|FlightRecord")
_MAGIC = b"\xa8\xab\x0b\xf0"  # of a dynamic archive; the JVM writes the header last


def class_data_sharing_options(
    java: Java, class_path: Iterable[str], folder: Path = ARCHIVE_DIR, *, create: bool = True
) -> list[str]:
    """Return the JVM options that use the archive for these jars or, with `create`, write it at exit.

    Empty if Java is too old or runs with an agent or recorder, if another session is writing the archive, or if the
    folder cannot be written.
    """
    if java.version < 13 or any(_REWRITES.search(os.environ.get(name, "")) for name in READ_BY_JAVA):
        return []
    folder = folder.expanduser()
    parts = [str(java.home.resolve()), read_release_file(java.home), *map(_jar_fingerprint, class_path)]
    name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    archive = folder / f"{name}.jsa"
    try:
        _remove_unused(make_private_folder(folder))  # Java runs what is in an archive
        unfinished = [new for new in folder.glob(f"{name}.*.new") if not _finish_archive(new, archive)]
        if archive.is_file():
            for used in folder.glob(f"{name}*.jsa"):
                os.utime(used)
            return [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto", _NO_LOGGING]
        if unfinished or not create:
            return []
        base = _base_archive_options(java, folder, name)
        new = folder / f"{name}.{os.getpid()}.new"
        new.touch()  # tells sessions that start meanwhile that an archive is being written
    except (OSError, PlatformError):  # a full or read-only disk must not keep Spark from starting
        return []
    return [*base, f"-XX:ArchiveClassesAtExit={new}", _NO_LOGGING]


def _jar_fingerprint(jar: str) -> str:
    """Return path, size and modification second of a jar, by which Java decides silently whether an archive fits."""
    try:
        status = os.stat(jar)
    except OSError:  # Java leaves it out of the class path
        return jar
    return f"{jar} {status.st_size} {int(status.st_mtime)}"


def _remove_unused(folder: Path) -> None:
    for each in unused_archives(folder, _UNUSED_SECONDS):
        each.unlink()


def unused_archives(folder: Path, max_age: float) -> list[Path]:
    """Return the archives that were not used for `max_age` seconds, and abandoned unfinished ones."""
    now, unused = time.time(), []
    for archive in (*folder.glob("*.jsa"), *folder.glob("*.new")):
        age = now - archive.stat().st_mtime
        is_abandoned = archive.suffix == ".new" and age > _ABANDONED_SECONDS and not _is_complete(archive)
        if is_abandoned or age > max_age:
            unused.append(archive)
    return unused


def _is_complete(new: Path) -> bool:
    with new.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _finish_archive(new: Path, archive: Path) -> bool:
    """Rename an archive to its final name if it is complete; return whether it is."""
    if not _is_complete(new):
        return False
    new.replace(archive)
    return True


def _base_archive_options(java: Java, folder: Path, name: str) -> list[str]:
    """Return the option for an archive of Java's own classes, made if Java has none (2 s, once)."""
    if any(java.home.glob("lib/server/classes*.jsa")):
        return []
    base = folder / f"{name}-java.jsa"
    if not base.is_file():
        new = folder / f"{name}-java.{os.getpid()}.new"
        command = [str(java.home / "bin" / "java"), "-Xshare:dump", f"-XX:SharedArchiveFile={new}"]
        done = subprocess.run(command, capture_output=True)
        if done.returncode:
            raise OSError(f"{command[0]} -Xshare:dump failed: {done.stderr!r}")
        new.replace(base)
    return [f"-XX:SharedArchiveFile={base}"]

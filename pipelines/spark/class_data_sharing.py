"""Keep what the JVM has loaded from one local session to the next: a third of the time before the first image.

Java's own class data sharing (from version 13 on): the first JVM leaves an archive when it exits, after our process,
and those that follow map it into memory. One that does not fit, another Spark's or another Java's, is not looked at.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from pipelines.disk_space import private_folder
from pipelines.errors import PlatformError
from pipelines.spark.java import READ_BY_JAVA, Java, read_release_file

ARCHIVE_DIR = Path("~/.cache/irbis/classes")
_ABANDONED_SECONDS = 600  # seconds without a change, after which nobody is at work on an archive any more
_UNUSED_SECONDS = 30 * 86_400  # seconds without a use, after which an archive goes
_NO_LOGGING = "-Xlog:cds*=off"  # classes that cannot be kept are named one by one
# These rewrite classes while they load, and Java 17 has crashed with a recorder on archived ones.
_REWRITES = re.compile(r"-javaagent|-agent(lib|path)|FlightRecord")
_MAGIC = b"\xa8\xab\x0b\xf0"  # of a dynamic archive; the JVM writes the header last


def class_data_sharing_options(
    java: Java, class_path: Iterable[str], folder: Path = ARCHIVE_DIR, *, create: bool = True
) -> list[str]:
    """Give the JVM's options to use the archive of the classes of these jars, or else to make it (if `create`).

    None for a Java that cannot, one that the environment gives an agent or a recorder, where another session is making
    it, or where no archive can be kept.
    """
    if java.version < 13 or any(_REWRITES.search(os.environ.get(name, "")) for name in READ_BY_JAVA):
        return []
    folder = folder.expanduser()
    parts = [str(java.home.resolve()), read_release_file(java.home), *map(_jar_fingerprint, class_path)]
    name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    archive = folder / f"{name}.jsa"
    try:
        _remove_unused(private_folder(folder))  # Java runs what is in an archive
        unfinished = [new for new in folder.glob(f"{name}.*.new") if not _finish_archive(new, archive)]
        if archive.is_file():
            for used in folder.glob(f"{name}*.jsa"):
                os.utime(used)
            return [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto", _NO_LOGGING]
        if unfinished or not create:
            return []
        base = _base_archive_options(java, folder, name)
        new = folder / f"{name}.{os.getpid()}.new"
        new.touch()  # who starts meanwhile sees that one is on its way
    except (OSError, PlatformError):  # a full or read-only disk is no reason not to start
        return []
    return [*base, f"-XX:ArchiveClassesAtExit={new}", _NO_LOGGING]


def _jar_fingerprint(jar: str) -> str:
    """Give what Java knows a jar by: an archive of another size or second it passes over, without a word."""
    try:
        found = os.stat(jar)
    except OSError:  # Java leaves it out of the class path
        return jar
    return f"{jar} {found.st_size} {int(found.st_mtime)}"


def _remove_unused(folder: Path) -> None:
    for each in unused_archives(folder, _UNUSED_SECONDS):
        each.unlink()


def unused_archives(folder: Path, most: float) -> list[Path]:
    """Return the archives that nobody has used for `most` seconds, and those that were never finished."""
    now, found = time.time(), []
    for each in (*folder.glob("*.jsa"), *folder.glob("*.new")):
        age = now - each.stat().st_mtime
        is_cut_off = each.suffix == ".new" and age > _ABANDONED_SECONDS and not _is_complete(each)
        if is_cut_off or age > most:
            found.append(each)
    return found


def _is_complete(new: Path) -> bool:
    with new.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _finish_archive(new: Path, archive: Path) -> bool:
    """Say whether an archive was finished, and give it its name then."""
    if not _is_complete(new):
        return False
    new.replace(archive)
    return True


def _base_archive_options(java: Java, folder: Path, name: str) -> list[str]:
    """Give the option for an archive of Java's own classes where Java came without one (2 s, once)."""
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

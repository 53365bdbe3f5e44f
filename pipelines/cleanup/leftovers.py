"""Find what runs have left on a disk and nobody needs any more: records, temporary files, caches. Without Spark.

What can be made again goes when it is old; what a running process may use, or nobody can tell of, stays.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.config.settings import Settings
from pipelines.processes import oldest_java
from pipelines.runs.history import LOCAL, RUNNING, PENDING, RunHistory, refresh_local
from pipelines.runs.record import RUNS, is_expired
from pipelines.spark.class_data_sharing import ARCHIVE_DIR as CLASSES
from pipelines.spark.class_data_sharing import unused_archives
from pipelines.spark.runtime import is_external_session
from pipelines.workspace.lock import can_lock
from pipelines.workspace.orphans import find_orphans
from pipelines.workspace.tables import workspace_uri

DAY = 86_400.0
WEEK = 7 * DAY  # after which what a process that nobody sees from here has left is taken for a left-over
UNLOCKED = "datasets"  # the table that `irbis datasets` writes without the lock; it takes a few KB
# Names that only irbis, MLflow and Spark give: a workspace may lie in a folder of somebody's own.
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
IN_SCRATCH = re.compile(rf"tmp[a-z0-9_]{{8}}|{UUID}")
DRAFT = re.compile(r"\..+\.\d+\.draft")
SENT = re.compile(r"[0-9a-f]{16}")
GRAPH = re.compile(r"tmp[a-z0-9_]{8}|.+-(exact|fast)-[0-9a-f]{16}")
LOG_BYTES = 2**20  # that stay of Spark's log
LONG_LOG_BYTES = 10 * 2**20
OF_SPARK = ("blockmgr-*", "spark-*", "pyspark-*", "liblz4-java-*", "snappy-*", "libzstd-jni-*")


@dataclass(frozen=True)
class Leftover:
    """Name files and folders of one kind. `kept`: bytes at the end of each that stay."""

    singular: str
    plural: str
    paths: tuple[Path, ...]
    kept: int = 0

    def sizes(self) -> dict[Path, int]:
        return {path: max(0, total_size(path) - self.kept) for path in self.paths}

    def remove(self, path: Path) -> None:
        """Remove a file or folder, or cut it. Raises OSError."""
        if self.kept:
            _cut(path, self.kept)
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def find_leftovers(settings: Settings, now: float | None = None) -> list[Leftover]:
    """Return what is left over in the workspace, if it is a folder, and in the caches of this machine."""
    now = time.time() if now is None else now
    found = [*_in_workspace(settings, now)] if "://" not in settings.workspace else []
    if not is_external_session():  # a cluster's machines go, with all that is on them
        found += _on_machine(settings, now)
    return [each for each in found if each.paths]


def total_size(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder. Links are not followed."""
    if path.is_dir() and not path.is_symlink():
        return sum(total_size(Path(entry.path)) for entry in os.scandir(path))
    return path.lstat().st_size


def last_changed(path: Path) -> float:
    """Return when a file, or anything below a folder, was last changed."""
    newest = path.lstat().st_mtime
    if path.is_dir() and not path.is_symlink():
        newest = max([newest, *(last_changed(Path(entry.path)) for entry in os.scandir(path))])
    return newest


def _in_workspace(settings: Settings, now: float) -> Iterator[Leftover]:
    workspace, is_held = Path(workspace_uri(settings)), can_lock(settings.workspace)
    kept = settings.clean.keep_runs_days * DAY
    if is_held and settings.tables.schema_ is None:
        tables = sorted(workspace.glob("tables/*"))
        orphans = [
            file
            for table in tables
            for file in find_orphans(table)
            if table.name != UNLOCKED or _is_older(file, now - WEEK)
        ]
        yield Leftover("file of a table that no commit names", "files of tables that no commit names", tuple(orphans))
    running = _running(RunHistory(settings.runs.history_dir))
    ended = [each for each in _folders(workspace / RUNS) if each.name not in running and _is_due(each, now, kept)]
    yield Leftover("run folder", "run folders", tuple(ended))
    if is_held:
        sent = [each for each in _folders(workspace / "sent") if SENT.fullmatch(each.name)]
        sent = [each for each in sent if _is_older(each, now - max(kept, WEEK))]
        yield Leftover("file that was sent for runs", "files that were sent for runs", tuple(sent))
    scratch = [*_entries(workspace / "scratch"), *_entries(workspace / "scratch" / "checkpoints")]
    before = now - (DAY if is_held else WEEK)
    scratch = [each for each in scratch if IN_SCRATCH.fullmatch(each.name) and _is_older(each, before)]
    yield Leftover("entry of scratch", "entries of scratch", tuple(scratch))
    drafts = [*workspace.glob(".*.draft"), *workspace.glob("*/.*.draft"), *workspace.glob(f"{RUNS}/*/.*.draft")]
    drafts = [each for each in drafts if DRAFT.fullmatch(each.name) and each.parent not in ended]
    drafts = [each for each in drafts if _is_older(each, now - DAY)]
    yield Leftover("unfinished file", "unfinished files", tuple(sorted(drafts)))
    log = workspace / "logs" / "spark.log"
    long = (log,) if log.is_file() and log.stat().st_size > LONG_LOG_BYTES else ()
    yield Leftover("log of Spark, but its last MB", "logs of Spark, but their last MB", long, LOG_BYTES)


def _on_machine(settings: Settings, now: float) -> Iterator[Leftover]:
    kept, cache = settings.clean.keep_cache_days * DAY, Path(settings.featurize.weights_cache).expanduser()
    graphs = [each for each in _folders(cache / "graphs") if GRAPH.fullmatch(each.name)]
    unused = [
        each for each in graphs if _is_older(each, now - (DAY if each.name.startswith("tmp") else max(kept, DAY)))
    ]
    yield Leftover("converted network", "converted networks", tuple(unused))
    partial = [each for each in _entries(cache) if each.name.endswith(".partial") and _is_older(each, now - DAY)]
    yield Leftover("unfinished download", "unfinished downloads", tuple(partial))
    yield Leftover(
        "archive of Java's classes",
        "archives of Java's classes",
        tuple(unused_archives(CLASSES.expanduser(), max(kept, DAY))),
    )
    spark = sorted(each for folder in _temporary(settings) for each in _of_spark(folder, now))
    yield Leftover("temporary folder of Spark", "temporary folders of Spark", tuple(spark))
    ledger = RunHistory(settings.runs.history_dir)
    before = now - max(settings.clean.keep_runs_days * DAY, DAY)
    code = [
        file
        for entry in ledger.all()
        if entry.has_ended
        for file in sorted((ledger.folder / entry.id).glob("*.zip"))
        if _is_older(file, before)
    ]
    yield Leftover("package of code that was sent", "packages of code that were sent", tuple(code))


def _is_due(folder: Path, now: float, kept: float) -> bool:
    try:
        files = [(path.relative_to(folder).as_posix(), path.lstat().st_mtime) for path in folder.rglob("*")]
        return is_expired(folder.name, files or [("", folder.lstat().st_mtime)], now, kept)
    except OSError:  # changing under our eyes, or closed to us
        return False


def _running(ledger: RunHistory) -> set[str]:
    """Return the ids of the runs that are at work on this machine."""
    return {
        each.id for each in ledger.all() if each.backend == LOCAL and refresh_local(each).state in (RUNNING, PENDING)
    }


def _temporary(settings: Settings) -> Iterator[Path]:
    """Return this user's folders in those in which a local session keeps its blocks."""
    above = [Path(tempfile.gettempdir()), Path("~/.cache/irbis/tmp").expanduser()]
    if "://" not in settings.workspace:
        above.append(Path(workspace_uri(settings)) / "scratch" / "tmp")
    for folder in dict.fromkeys(each / f"irbis-{os.getuid()}" if os.name == "posix" else each for each in above):
        if folder.is_dir() and not folder.is_symlink() and (os.name != "posix" or folder.stat().st_uid == os.getuid()):
            yield folder


def _of_spark(folder: Path, now: float) -> Iterable[Path]:
    """Return what Spark has left in a folder and no Java of this user can be using: it is older than all of them."""
    oldest = oldest_java() if Path("/proc/self/stat").exists() else now - WEEK
    before = min(now - DAY, oldest or now)
    return [each for name in OF_SPARK for each in folder.glob(name) if _is_older(each, before)]


def _is_older(path: Path, moment: float) -> bool:
    try:
        return last_changed(path) < moment
    except OSError:  # changing under our eyes, or closed to us
        return False


def _folders(folder: Path) -> list[Path]:
    return [each for each in _entries(folder) if each.is_dir() and not each.is_symlink()]


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _cut(file: Path, kept: int) -> None:
    """Leave the last bytes of a file in place: who appends to it goes on."""
    with file.open("r+b") as stream:
        stream.seek(-kept, os.SEEK_END)
        tail = stream.read(kept)
        stream.seek(0)
        stream.write(tail)
        stream.truncate()

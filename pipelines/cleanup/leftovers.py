"""Find leftovers of runs on a disk: old records, temporary files and caches. Does not need Spark.

Old files that can be recreated are leftovers; files that a running process may use, and unknown files, are not.
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

from pipelines.cleanup.review_files import find_thumbnails
from pipelines.config.settings import Settings
from pipelines.processes import TEMPORARY_FOLDER, is_left_behind, oldest_java
from pipelines.runs.history import LOCAL, PENDING, RUNNING, RunHistory, refresh_local
from pipelines.runs.record import RUNS, is_expired
from pipelines.spark.class_data_sharing import ARCHIVE_DIR as CLASSES
from pipelines.spark.class_data_sharing import unused_archives
from pipelines.spark.runtime import is_external_session
from pipelines.workspace.location import workspace_uri
from pipelines.workspace.lock import can_lock
from pipelines.workspace.orphans import UNLOCKED_TABLES, find_orphans

DAY = 86_400.0
WEEK = 7 * DAY  # after which files of processes that are not visible from here count as leftovers
FORMER_QUEUE = "arrivals"  # table that `irbis ingest --watch` once wrote, with a checkpoint per source
# Names that only irbis, MLflow and Spark create: a workspace may be in a folder with other files.
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
IN_SCRATCH = re.compile(rf"tmp[a-z0-9_]{{8}}|{UUID}|{TEMPORARY_FOLDER.pattern}")
DRAFT = re.compile(r"\..+\.\d+\.draft")
SENT = re.compile(r"[0-9a-f]{16}")
QUEUE_CHECKPOINT = re.compile(r"ingest-[0-9a-f]{16}")
GRAPH = re.compile(r"tmp[a-z0-9_]{8}|.+-(exact|fast)-[0-9a-f]{16}")
LOG_BYTES = 2**20  # of Spark's log that are kept
LONG_LOG_BYTES = 10 * 2**20
SPARK_PATTERNS = ("blockmgr-*", "spark-*", "pyspark-*", "liblz4-java-*", "snappy-*", "libzstd-jni-*")


@dataclass(frozen=True)
class Leftover:
    """Files and folders of one kind. `kept_bytes`: bytes at the end of each file that are kept."""

    singular: str
    plural: str
    paths: tuple[Path, ...]
    kept_bytes: int = 0

    def sizes(self) -> dict[Path, int]:
        """Return the bytes that removal frees, by path."""
        return {path: max(0, total_size(path) - self.kept_bytes) for path in self.paths}

    def remove(self, path: Path) -> None:
        """Remove or truncate a file, or remove a folder. Raises OSError."""
        if self.kept_bytes:
            _truncate_front(path, self.kept_bytes)
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def find_leftovers(settings: Settings, now: float | None = None) -> list[Leftover]:
    """Return the leftovers in a local workspace and in the caches of this machine."""
    now = time.time() if now is None else now
    found = [*_find_in_workspace(settings, now)] if "://" not in settings.workspace else []
    if not is_external_session():  # machines of a cluster are discarded with their disks
        found += _find_on_machine(settings, now)
    return [leftover for leftover in found if leftover.paths]


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


def _find_in_workspace(settings: Settings, now: float) -> Iterator[Leftover]:
    workspace, is_held = Path(workspace_uri(settings)), can_lock(settings.workspace)
    keep_seconds = settings.clean.keep_runs_days * DAY
    if is_held and settings.tables.schema_ is None:
        tables = sorted(workspace.glob("tables/*"))
        orphans = [
            file
            for table in tables
            for file in find_orphans(table)
            if table.name != FORMER_QUEUE and (table.name not in UNLOCKED_TABLES or _is_older(file, now - WEEK))
        ]
        yield Leftover("file of a table that no commit names", "files of tables that no commit names", tuple(orphans))
        queues = [path for path in _list_folders(workspace / "checkpoints") if QUEUE_CHECKPOINT.fullmatch(path.name)]
        queues += [path for path in _list_folders(workspace / "tables") if path.name == FORMER_QUEUE]
        yield Leftover("queue of a former version", "queues of a former version", tuple(queues))
    running = _running_ids(RunHistory(settings.runs.history_dir))
    ended = [
        path
        for path in _list_folders(workspace / RUNS)
        if path.name not in running and _is_due(path, now, keep_seconds)
    ]
    yield Leftover("run folder", "run folders", tuple(ended))
    if is_held:
        sent = [path for path in _list_folders(workspace / "sent") if SENT.fullmatch(path.name)]
        sent = [path for path in sent if _is_older(path, now - max(keep_seconds, WEEK))]
        yield Leftover("file uploaded for runs", "files uploaded for runs", tuple(sent))
    scratch = [*_list_entries(workspace / "scratch"), *_list_entries(workspace / "scratch" / "checkpoints")]
    before = now - (DAY if is_held else WEEK)
    scratch = [
        path
        for path in scratch
        if is_left_behind(path.name) or (IN_SCRATCH.fullmatch(path.name) and _is_older(path, before))
    ]
    yield Leftover("scratch entry", "scratch entries", tuple(scratch))
    patterns = (".*.draft", "*/.*.draft", f"{RUNS}/*/.*.draft", "review/journal/.*.draft", "review/cache/*/.*.draft")
    drafts = [path for pattern in patterns for path in workspace.glob(pattern)]
    drafts = [path for path in drafts if DRAFT.fullmatch(path.name) and path.parent not in ended]
    drafts = [path for path in drafts if _is_older(path, now - DAY)]
    yield Leftover("unfinished file", "unfinished files", tuple(sorted(drafts)))
    log = workspace / "logs" / "spark.log"
    long = (log,) if log.is_file() and log.stat().st_size > LONG_LOG_BYTES else ()
    yield Leftover("Spark log, except its last MB", "Spark logs, except their last MB", long, LOG_BYTES)


def _find_on_machine(settings: Settings, now: float) -> Iterator[Leftover]:
    keep_seconds, cache = settings.clean.keep_cache_days * DAY, Path(settings.featurize.weights_cache).expanduser()
    graphs = [path for path in _list_folders(cache / "graphs") if GRAPH.fullmatch(path.name)]
    unused = [
        path
        for path in graphs
        if _is_older(path, now - (DAY if path.name.startswith("tmp") else max(keep_seconds, DAY)))
    ]
    yield Leftover("converted network", "converted networks", tuple(unused))
    thumbnails = find_thumbnails(workspace_uri(settings))  # each use changes the time of the file
    unseen = [path for path in thumbnails if _is_older(path, now - keep_seconds)]
    yield Leftover("thumbnail of the review page", "thumbnails of the review page", tuple(unseen))
    partial = [path for path in _list_entries(cache) if path.name.endswith(".partial") and _is_older(path, now - DAY)]
    yield Leftover("unfinished download", "unfinished downloads", tuple(partial))
    yield Leftover(
        "Java class archive",
        "Java class archives",
        tuple(unused_archives(CLASSES.expanduser(), max(keep_seconds, DAY))),
    )
    spark = sorted(path for folder in _user_temporary_folders(settings) for path in _find_spark_folders(folder, now))
    yield Leftover("temporary Spark folder", "temporary Spark folders", tuple(spark))
    history = RunHistory(settings.runs.history_dir)
    before = now - max(settings.clean.keep_runs_days * DAY, DAY)
    code = [
        file
        for run in history.all()
        if run.has_ended
        for file in sorted((history.folder / run.id).glob("*.zip"))
        if _is_older(file, before)
    ]
    yield Leftover("uploaded code package", "uploaded code packages", tuple(code))


def _is_due(folder: Path, now: float, keep_seconds: float) -> bool:
    try:
        files = [(path.relative_to(folder).as_posix(), path.lstat().st_mtime) for path in folder.rglob("*")]
        return is_expired(folder.name, files or [("", folder.lstat().st_mtime)], now, keep_seconds)
    except OSError:  # changing at the moment, or not readable
        return False


def _running_ids(history: RunHistory) -> set[str]:
    """Return the ids of the runs that are running on this machine."""
    return {run.id for run in history.all() if run.backend == LOCAL and refresh_local(run).state in (RUNNING, PENDING)}


def _user_temporary_folders(settings: Settings) -> Iterator[Path]:
    """Yield this user's folders among those in which a local session keeps its blocks."""
    above = [Path(tempfile.gettempdir()), Path("~/.cache/irbis/tmp").expanduser()]
    if "://" not in settings.workspace:
        above.append(Path(workspace_uri(settings)) / "scratch" / "tmp")
    for folder in dict.fromkeys(path / f"irbis-{os.getuid()}" if os.name == "posix" else path for path in above):
        if folder.is_dir() and not folder.is_symlink() and (os.name != "posix" or folder.stat().st_uid == os.getuid()):
            yield folder


def _find_spark_folders(folder: Path, now: float) -> Iterable[Path]:
    """Return Spark's files in a folder that are older than every Java process of this user, so none uses them."""
    oldest = oldest_java() if Path("/proc/self/stat").exists() else now - WEEK
    before = min(now - DAY, oldest or now)
    return [path for name in SPARK_PATTERNS for path in folder.glob(name) if _is_older(path, before)]


def _is_older(path: Path, moment: float) -> bool:
    try:
        return last_changed(path) < moment
    except OSError:  # changing at the moment, or not readable
        return False


def _list_folders(folder: Path) -> list[Path]:
    return [path for path in _list_entries(folder) if path.is_dir() and not path.is_symlink()]


def _list_entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _truncate_front(file: Path, kept_bytes: int) -> None:
    """Keep only the last bytes of a file, in place: processes that append to it are not disturbed."""
    with file.open("r+b") as stream:
        stream.seek(-kept_bytes, os.SEEK_END)
        tail = stream.read(kept_bytes)
        stream.seek(0)
        stream.write(tail)
        stream.truncate()

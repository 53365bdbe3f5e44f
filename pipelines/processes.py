"""Identify the process of a run; a process id alone is reused, and exists on every machine."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TEMPORARY_FOLDER = re.compile(r"process-(?P<host>[\w.]+)-(?P<pid>\d{1,9})-[\w.]+-\w+")
START_TIME = 19  # of the fields of /proc/PID/stat after the name, in ticks since the machine started


@dataclass(frozen=True)
class Process:
    """Unique identity of a process.

    `host` is the machine's name, `boot` the kernel's boot id (None if there is none), and `started_at` the start time
    of the process in the system's format. `host` and `started_at` are None in records of earlier versions.
    """

    pid: int
    host: str | None = None
    boot: str | None = None
    started_at: str | None = None

    @classmethod
    def of(cls, pid: int) -> Process:
        """Return the process that has this id now."""
        return cls(pid, socket.gethostname(), _boot_id(), _start_time(pid))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def unknown_reason(self) -> str | None:
        """Return why it is unknown whether the process runs, as a clause; None if it is known."""
        if self.host is None:
            return "an earlier version noted no more than a process id, which may be another program's by now"
        if self.host != socket.gethostname():
            return f"it runs on another machine, {self.host}: ask there"
        if self.started_at is None:
            return "this system does not say when a process began, so its id may be another program's by now"
        return None

    @property
    def is_running(self) -> bool:
        """Return whether this very process runs; False if that is unknown, see `unknown_reason`."""
        return self.unknown_reason is None and self == Process.of(self.pid) and not _is_zombie(self.pid)

    @property
    def is_gone(self) -> bool:
        """Return whether it has certainly ended."""
        if self.host is None:
            return not _exists(self.pid)
        return self.unknown_reason is None and not self.is_running

    def send(self, number: signal.Signals, *, is_group: bool = False) -> bool:
        """Send a signal to the very same process, or to the group that it leads; return False where it is not there."""
        if not self.is_running:
            return False
        try:
            (os.killpg if is_group else os.kill)(self.pid, number)
        except ProcessLookupError:
            return False
        return True


def oldest_java() -> float | None:
    """Return the start time of this user's oldest Java process, in seconds since the epoch; None if there is none.

    Temporary files of Spark that are older are not in use by any Spark of this user.
    """
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_java = folder.stat().st_uid == os.getuid() and (folder / "comm").read_text("utf-8").strip() == "java"
            if is_java and (fields := _stat_fields(int(folder.name))):
                found.append(int(fields[START_TIME]) / os.sysconf("SC_CLK_TCK"))
        except OSError:  # it has ended meanwhile
            continue
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + min(found) if found else None


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder below `parent` and remove it afterwards. If this process is killed: see `is_left_behind`."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=_folder_prefix(Process.of(os.getpid())), dir=parent) as folder:
        yield Path(folder)


def is_left_behind(name: str) -> bool:
    """Return whether a folder of this name is by `temporary_folder`, in a process of this machine that has ended."""
    found = TEMPORARY_FOLDER.fullmatch(name)
    if not found or found["host"] != _as_name(socket.gethostname()):
        return False
    now = Process.of(int(found["pid"]))
    return not name.startswith(_folder_prefix(now)) or _is_zombie(now.pid)


def _folder_prefix(process: Process) -> str:
    return f"process-{_as_name(process.host)}-{process.pid}-{_as_name(process.started_at)}-"


def _as_name(text: str | None) -> str:
    return re.sub(r"[^A-Za-z0-9.]", "_", text or "unknown")


def _boot_id() -> str | None:
    try:
        return BOOT_ID.read_text("ascii").strip()
    except OSError:  # no Linux
        return None


def _start_time(pid: int) -> str | None:
    """Return when a process began; null where there is none, or the system does not say."""
    if BOOT_ID.exists():
        return fields[START_TIME] if (fields := _stat_fields(pid)) else None
    if os.name != "posix":
        return None
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, env={"LC_ALL": "C"}).stdout.strip() or None


def _is_zombie(pid: int) -> bool:
    """Return whether a process has ended and only its parent has not asked for it yet."""
    return _stat_fields(pid)[:1] == ["Z"]


def _stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name; none where there is no such process, or no Linux."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return []


def _exists(pid: int) -> bool:
    if os.name == "nt":  # there the question would be a Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True

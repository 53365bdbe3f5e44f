"""Find usable folders for temporary files, check free disk space, and explain full disks."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipelines.errors import PlatformError

FULL_DISK_MESSAGES = ("No space left on device", "Disk quota exceeded", "database or disk is full")
RESERVED_BYTES = 64 * 2**20  # Spark, MLflow's database and a small model, without any images
TMPDIR_REMEDY = "Remove it, or set TMPDIR to a folder of your own."
MIN_TEMPORARY_BYTES = 64 * 2**20  # native libraries, shuffles and spills of a small run


def find_temporary_folder(workspace: str) -> Path:
    """Return the first folder in which Spark can write and load native libraries; create it if it is missing.

    Tries TMPDIR, /tmp, ~/.cache/irbis/tmp and the workspace. Raises PlatformError with the fault of each folder.
    """
    faults = []
    for folder in _candidates(workspace):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            faults.append(f"{folder}: {error.strerror}")
            continue
        if reason := find_folder_fault(folder, MIN_TEMPORARY_BYTES, is_run_from=True):
            faults.append(f"{folder}: {reason}")
        else:
            return folder
    raise PlatformError(
        f"No folder is usable for temporary files ({'; '.join(faults)}). Free some space, or set TMPDIR to a usable "
        "folder."
    )


def make_private_folder(folder: Path) -> Path:
    """Return a folder that only this user can enter (mode 0700); create it if it is missing.

    Raises PlatformError if it cannot be created, is a symbolic link, or belongs to another user: in folders that all
    users share, anybody can create any name.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(0o700)
        status = folder.lstat()
        if os.name != "posix":
            return folder
        is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
        if is_ours and status.st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise PlatformError(f"{folder} cannot be used ({error.strerror}). {TMPDIR_REMEDY}") from error
    if not is_ours:
        what = "belongs to another user" if stat.S_ISDIR(status.st_mode) else "is a link or a file"
        raise PlatformError(f"{folder} {what}, so it is not used. {TMPDIR_REMEDY}")
    return folder


def user_temporary_folder(folder: Path) -> Path:
    """Return this user's private folder below a temporary folder that all users may share. Raises PlatformError."""
    return make_private_folder(folder / f"irbis-{os.getuid()}") if os.name == "posix" else folder


def _candidates(workspace: str) -> Iterable[Path]:
    if (tmpdir := os.environ.get("TMPDIR")) and Path(tmpdir).is_dir():
        yield Path(tmpdir).absolute()
    yield Path("/tmp") if os.name == "posix" else Path(tempfile.gettempdir())
    yield Path("~/.cache/irbis/tmp").expanduser()
    if "://" not in workspace:
        yield Path(workspace).expanduser().absolute() / "scratch" / "tmp"


def find_folder_fault(folder: Path, needed: int = 0, *, is_run_from: bool = False) -> str:
    """Return why an existing folder cannot be written to (or, if `is_run_from`, run code from); "" if it can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"0" * 4096)
    except OSError as error:
        return error.strerror or str(error)
    noexec = getattr(os, "ST_NOEXEC", 0)  # Linux only
    if is_run_from and noexec and os.statvfs(folder).f_flag & noexec:
        return "mounted noexec"
    if needed and (free := free_bytes(folder)) < needed:
        return f"{format_megabytes(free)} free, {format_megabytes(needed)} needed"
    return ""


def free_bytes(folder: Path) -> int:
    """Return the free bytes on the disk of a folder, which need not exist yet."""
    return shutil.disk_usage(_nearest_existing(folder)).free


def _nearest_existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def require_space(needed: Mapping[Path, int], what: str, remedy: str = "") -> None:
    """Raise PlatformError if a disk lacks the bytes `needed` by its folders plus RESERVED_BYTES.

    Folders on one disk share its free space. Disks that do not report their size, such as some mounted buckets, are
    not checked.
    """
    disks: dict[int, list[Path]] = {}
    for folder in needed:
        disks.setdefault(_nearest_existing(folder).stat().st_dev, []).append(folder)
    for folders in disks.values():
        usage = shutil.disk_usage(_nearest_existing(folders[0]))
        size = sum(needed[folder] for folder in folders)
        if size and (usage.total or usage.free) and usage.free < size + RESERVED_BYTES:
            raise PlatformError(
                f"{what} needs about {format_megabytes(size)} on the disk of {' and '.join(map(str, folders))}, but "
                f"only {format_megabytes(usage.free)} are free ({format_megabytes(RESERVED_BYTES)} are kept in "
                "reserve). Nothing was written. Free some space (`irbis clean --dry-run` shows what it would free), "
                f"{remedy}or choose another folder (--workspace DIR, TMPDIR for temporary files); the same command "
                "then resumes."
            )


def format_megabytes(size: int) -> str:
    """Return a number of bytes as `1,234 MB`."""
    return f"{size / 2**20:,.0f} MB"


def explain_full_disk(error: BaseException, workspace: str) -> PlatformError | None:
    """Return an error that names the full disk if a full disk caused `error`, at any depth; null otherwise."""
    if not any(sign in text for text in _error_texts(error) for sign in FULL_DISK_MESSAGES):
        return None
    folders = {Path(tempfile.gettempdir()): "TMPDIR"}
    folders |= {Path(name): "SPARK_LOCAL_DIRS" for name in os.environ.get("SPARK_LOCAL_DIRS", "").split(",") if name}
    if "://" not in workspace:
        folders = {Path(workspace).expanduser().absolute(): "--workspace DIR", **folders}
    fullest = min(folders, key=free_bytes)
    free = free_bytes(fullest)
    quota = ", so perhaps a quota is exhausted" if free > RESERVED_BYTES else ""
    return PlatformError(
        f"No space is left on the disk of {fullest} ({format_megabytes(free)} free{quota}). Committed data "
        f"is kept. Free some space there, or choose another folder ({folders[fullest]}); the same command then resumes."
    )


def _error_texts(error: BaseException | None) -> Iterable[str]:
    while error is not None:
        yield str(error)
        error = error.__cause__ or error.__context__

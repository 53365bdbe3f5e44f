"""Check names from other machines (blobs, listings, archives): none may lead out of its folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pipelines.errors import DataError

_DRIVE = re.compile(r"[A-Za-z]:")


def find_name_fault(name: str) -> str | None:
    """Return why a name is not a valid file name below a folder, as the end of a sentence; null if it is valid."""
    if not name:
        return "the name is empty"
    if "\0" in name:
        return "the name holds a NUL character"
    if "\\" in name:
        return "the name holds a backslash, which some systems take for a slash"
    if name.startswith("/"):
        return "the name is absolute"
    if _DRIVE.match(name):
        return "the name begins with a drive letter"
    return find_dot_segment(name) or ("the name has an empty segment" if "" in name.split("/") else None)


def find_dot_segment(name: str) -> str | None:
    """Return a fault if a name has a segment `.` or `..`, which clients and servers resolve; else null."""
    segment = next((part for part in re.split(r"[/\\]", name) if part in (".", "..")), None)
    return f"the name has the segment '{segment}'" if segment else None


def safe_join(folder: Path, name: str) -> Path:
    """Join a local folder and an untrusted name. Links are resolved only to check the result.

    Raises DataError for a name that leads out of the folder, by itself or through a symbolic link in it.
    """
    fault = find_name_fault(name)
    if not fault and not resolves_below(folder / name, folder):
        fault = "a symbolic link leads out of the folder"
    if fault:
        raise DataError(f"{name!r} is not written below {folder}: {fault}.")
    return folder / name


def resolves_below(path: str | Path, folder: str | Path) -> bool:
    """Return whether a path is a folder or lies below it once symbolic links are resolved. Either may not exist."""
    root = os.path.realpath(folder).rstrip(os.sep) + os.sep
    return f"{os.path.realpath(path)}{os.sep}".startswith(root)

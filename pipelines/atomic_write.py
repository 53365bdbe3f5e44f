"""Write files of this machine so that a crash or a power cut leaves the old ones or the new ones, whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_UNKNOWN = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)  # what mounted buckets answer: they have no fsync


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; its folder is made where it is missing. When it returns, the disk has it."""
    draft = path.with_name(f".{path.name[:80]}.{os.getpid()}.draft")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        draft.write_bytes(content)
        sync(draft)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder. Renamed before that, a file may be empty afterwards."""
    if os.name == "nt" and path.is_dir():  # which Windows cannot open
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
    finally:
        os.close(descriptor)

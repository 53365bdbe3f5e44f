"""Write local files atomically: after a crash or power cut, either the old or the new file is complete."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_NO_FSYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)  # raised by mounted buckets, which have no fsync


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file atomically and create its folder if it is missing. On return, the data is on the disk."""
    with open_atomic(path) as file:
        file.write(content)


@contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write to, which gets its name at the end of the block. If that fails, no file is left.

    The folder is created if it is missing. After the block, the data is on the disk.
    """
    draft = path.with_name(f".{path.name[:80]}.{os.getpid()}.draft")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with draft.open("wb") as file:
            yield file
        sync(draft)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk. A file renamed before that may be empty after a crash."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
    finally:
        os.close(descriptor)

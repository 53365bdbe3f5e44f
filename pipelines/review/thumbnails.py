"""Small upright JPEGs of stored images, made from their bytes in child processes and cached on the disk.

They are encoded anew, without EXIF: a position does not leave the workspace with them.
"""

from __future__ import annotations

import itertools
import os
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from pipelines.errors import ImageError
from pipelines.images.subprocess_decoder import SubprocessReader
from pipelines.images.thumbnails import make_thumbnail
from pipelines.schemas import Failure

SIDES = {"small": 400, "large": 1280}  # pixels of the longer side
WORKERS = min(4, os.cpu_count() or 1)
MAX_CACHE_BYTES = 2 * 2**30
PRUNE_EVERY = 500  # files written
MAX_AHEAD = 600  # thumbnails waiting to be made; more are dropped, the oldest first
NOW, AHEAD = 0, 1  # priorities
MODE, FOLDER_MODE = 0o600, 0o700

Thumbnail = Path | bytes  # the file of a JPEG, or the JPEG
ReadContent = Callable[[str, Sequence[str]], bytes]  # hash of a content, those that are wanted next -> stored file


class Thumbnails:
    """Thumbnails by the hash of the content, which names their files too, so that restarts keep them."""

    def __init__(
        self, folder: Path, read: ReadContent, *, max_pixels: int, max_seconds: float, workers: int = WORKERS
    ) -> None:
        self._folder, self._read = folder, read
        self._max_pixels, self._max_seconds = max_pixels, max_seconds
        self._queue: queue.PriorityQueue[tuple[int, int, tuple[str, str] | None]] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._waiting: dict[tuple[str, str], Future[Thumbnail]] = {}
        self._failed: dict[tuple[str, str], ImageError] = {}
        self._lock = threading.Lock()
        self._written = 0
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def get(self, content_hash: str, size: str) -> Future[Thumbnail]:
        """Return a thumbnail as a future, which raises ImageError for an image that cannot be shown."""
        return self._request(content_hash, size, NOW)

    def make_ahead(self, contents: Iterable[str]) -> None:
        """Have small thumbnails made in the background, in this order."""
        for content_hash in contents:
            if self._queue.qsize() < MAX_AHEAD:
                self._request(content_hash, "small", AHEAD)

    def close(self) -> None:
        """End the threads and their child processes."""
        for _ in self._threads:
            self._queue.put((-1, next(self._numbers), None))
        for thread in self._threads:
            thread.join(timeout=self._max_seconds)

    def _request(self, content_hash: str, size: str, priority: int) -> Future[Thumbnail]:
        key = content_hash, size
        with self._lock:
            future: Future[Thumbnail] = self._waiting.get(key) or Future()
            path = self._path(content_hash, size)
            if key in self._failed and not future.done():
                future.set_exception(self._failed[key])
            elif key not in self._waiting and path.is_file():
                with suppress(OSError):
                    os.utime(path)  # the last use: the oldest are removed first
                future.set_result(path)
            elif key not in self._waiting or priority == NOW:
                self._waiting[key] = future
                self._queue.put((priority, next(self._numbers), key))
        return future

    def _path(self, content_hash: str, size: str) -> Path:
        return self._folder / content_hash[:2] / f"{content_hash}-{size}.jpg"

    def _work(self) -> None:
        makers = {
            size: SubprocessReader(partial(make_thumbnail, side=side, max_pixels=self._max_pixels), self._max_seconds)
            for size, side in SIDES.items()
        }
        with closing(makers["small"]), closing(makers["large"]):
            while (task := self._queue.get()[2]) is not None:
                content_hash, size = task
                with self._lock:
                    future, ahead = self._waiting.get(task), [other for other, _ in self._waiting]
                if future is None:  # made meanwhile
                    continue
                result: Thumbnail | Exception
                try:
                    jpeg = makers[size](self._read(content_hash, ahead))
                    result = self._store(self._path(content_hash, size), jpeg)
                except Exception as error:  # the request reports it
                    result = error
                self._finish(task, future, result)

    def _finish(self, key: tuple[str, str], future: Future[Thumbnail], result: Thumbnail | BaseException) -> None:
        with self._lock:
            self._waiting.pop(key, None)
            if isinstance(result, ImageError) and result.failure != Failure.VANISHED:  # a cleanup moves bytes
                self._failed[key] = result
            if future.done():  # another worker had the same task
                return
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

    def _store(self, path: Path, jpeg: bytes) -> Thumbnail:
        """Return the file, or the bytes where the disk is full or read-only: the image is shown all the same."""
        draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.draft")
        try:
            path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, MODE), "wb") as file:
                file.write(jpeg)
            os.replace(draft, path)
        except OSError:
            with suppress(OSError):
                draft.unlink()
            return jpeg
        self._written += 1
        if self._written % PRUNE_EVERY == 0:
            prune(self._folder, MAX_CACHE_BYTES)
        return path


def prune(folder: Path, max_bytes: int) -> None:
    """Remove the files that were used least recently until the folder has at most `max_bytes`."""
    files = []
    for path in folder.glob("*/*"):
        with suppress(OSError):
            status = path.stat()
            files.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= max_bytes:
            return
        with suppress(OSError):
            path.unlink()
            total -= size


def gone() -> ImageError:
    """Return the error for bytes that are no longer in the table."""
    return ImageError(Failure.VANISHED, "its bytes are no longer in the table images")

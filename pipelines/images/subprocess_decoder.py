"""Read images in a child process, so that one that crashes or blocks a decoder ends only the child."""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, BinaryIO, Generic, TypeVar

from pipelines.errors import ImageError
from pipelines.images.watchdog import limit_time
from pipelines.schemas import Failure

Result = TypeVar("Result")

_START_SECONDS = 600.0  # for the imports of a child on a busy machine
_GRACE_SECONDS = 10.0  # after the time limit, for a child that should have ended by itself

# The current folder is on the path before anything is imported, and may contain any module.
_START = "import sys; sys.path[:] = sys.argv[1:]; from pipelines.images.subprocess_decoder import serve; serve()"


@contextmanager
def time_limited_reader(
    read: Callable[[Any], Result], max_seconds: float, attempt: int | None
) -> Iterator[Callable[[Any], Result]]:
    """Yield `read` with a time limit per image; `attempt` is the Spark task's, from 0, null outside of tasks.

    In the first attempt, an image that takes too long ends this process, as one that crashes a decoder does. In
    retries, each image is read in a child process: an image that ends it raises ImageError, too_slow or crashed.
    Outside of tasks there is no retry, and therefore no limit.
    """
    if attempt is None:
        yield read
    elif attempt == 0:
        with limit_time(read, max_seconds) as bounded:
            yield bounded
    else:
        with closing(SubprocessReader(read, max_seconds)) as reader:
            yield reader


class SubprocessReader(Generic[Result]):
    """A callable that runs a function on one image at a time in a child process, which is restarted after it ends.

    The function, its arguments, results and exceptions must be picklable. Calls from several threads are serialized.
    """

    def __init__(self, read: Callable[[Any], Result], max_seconds: float) -> None:
        self._task = pickle.dumps((read, max_seconds))
        self._max_seconds = max_seconds
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def __call__(self, content: Any) -> Result:
        with self._lock:
            child = self._child or self._start()
            begun = time.monotonic()
            try:
                with _kill_after(child, self._max_seconds + _GRACE_SECONDS):
                    _send(child.stdin, pickle.dumps(content or b""))
                    has_succeeded, result = _receive(child.stdout)
            except (EOFError, OSError, pickle.UnpicklingError):
                seconds = time.monotonic() - begun
                raise self._describe_failure(self._end(child), seconds) from None
        if has_succeeded:
            return result  # type: ignore[no-any-return]
        raise result

    def close(self) -> None:
        """End the child."""
        with self._lock:
            if self._child:
                self._child.kill()
                self._end(self._child)

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", _START, *filter(None, sys.path)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            with _kill_after(child, _START_SECONDS):
                _send(child.stdin, self._task)
                _receive(child.stdout)  # sent after its imports, which do not count towards the first image's time
        except (EOFError, OSError) as error:
            code = self._end(child)
            raise RuntimeError(
                f"The process that decodes images ended, or took longer than {_START_SECONDS:g} s, before its first "
                f"image (exit code {code}). Its error message is in Spark's log. If the machine was busy, run again."
            ) from error
        self._child = child
        return child

    def _end(self, child: subprocess.Popen[bytes]) -> int:
        """Wait for the child, and return its exit code."""
        self._child = None
        with _kill_after(child, _GRACE_SECONDS), suppress(OSError), child:  # unsent bytes may remain in its pipe
            pass
        return child.wait()

    def _describe_failure(self, code: int, seconds: float) -> ImageError:
        if seconds >= self._max_seconds:
            return ImageError(Failure.TOO_SLOW, f"not read within images.max_seconds = {self._max_seconds:g}")
        reason = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return ImageError(Failure.CRASHED, f"the process that read it ended ({reason}), as the one before may have")


@contextmanager
def _kill_after(child: subprocess.Popen[bytes], seconds: float) -> Iterator[None]:
    """Kill the child if the block takes longer than `seconds`, whatever state the child is in."""
    timer = threading.Timer(seconds, child.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def serve() -> None:
    """Read the images that the parent sends until it closes the pipe; the child's main function."""
    source, target = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output of decoders must not mix with the replies
    read, max_seconds = pickle.loads(_receive_bytes(source))
    _send(target, pickle.dumps((True, None)))
    while True:
        try:
            content = pickle.loads(_receive_bytes(source))
        except EOFError:
            return
        faulthandler.dump_traceback_later(max_seconds, exit=True)
        try:
            reply: tuple[bool, Any] = True, read(content)
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            reply = False, error if isinstance(error, ImageError) else RuntimeError(message)
        faulthandler.cancel_dump_traceback_later()
        _send(target, pickle.dumps(reply))


def _send(stream: Any, data: bytes) -> None:
    stream.write(len(data).to_bytes(8, "big"))
    stream.write(data)
    stream.flush()


def _receive_bytes(stream: BinaryIO) -> bytes:
    """Read one message. Raises EOFError if it ends early."""
    head = stream.read(8)
    data = stream.read(int.from_bytes(head, "big")) if len(head) == 8 else b""
    if len(head) < 8 or len(data) < int.from_bytes(head, "big"):
        raise EOFError
    return data


def _receive(stream: Any) -> tuple[bool, Any]:
    reply: tuple[bool, Any] = pickle.loads(_receive_bytes(stream))
    return reply

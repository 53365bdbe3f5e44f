"""Handle SIGTERM and SIGHUP like Ctrl-C, so that a run leaves a record and its processes end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# YARN, Kubernetes, systemd and `kill`; a terminal that closes, which Windows has no signal for.
HANDLED = [signal.Signals[name] for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
MAX_SECONDS = (
    20.0  # from the signal to what is written at the latest, whatever is in the way; Kubernetes kills after 30
)
WRITING_SECONDS = 5.0  # for that
LAST_SECONDS = 2.0  # for threads that are still at work when all is written


class Terminated(KeyboardInterrupt):
    """A signal requests the end of this process. A KeyboardInterrupt, so that it passes wherever Ctrl-C does."""

    def __init__(self, number: signal.Signals):
        super().__init__(f"ended by {number.name}")
        self.exit_code = 128 + number


_received: signal.Signals | None = None
_final_writes: list[Callable[[], None]] = []


def received_signal() -> Terminated | None:
    """Return the signal that ends this process, also where another error has come of it since; null if none has."""
    return Terminated(_received) if _received else None


@contextmanager
def before_forced_exit(write: Callable[[], None]) -> Iterator[None]:
    """Have `write` called, in another thread, if the block has not ended MAX_SECONDS after a signal."""
    _final_writes.append(write)
    try:
        yield
    finally:
        _final_writes.remove(write)


@contextmanager
def handle_termination() -> Iterator[None]:
    """Raise Terminated in the block when a signal comes, and out of it whatever the signal has led to.

    A SystemExit passes, with the signal's exit code. Signals that the parent ignores, as `nohup` does, or for which
    this process has a handler stay as they are. Outside the main thread, which alone may handle signals, this does
    nothing. Later signals are ignored, as the process ends in bounded time.
    """
    is_main = threading.current_thread() is threading.main_thread()
    ours = [number for number in HANDLED if is_main and signal.getsignal(number) is signal.SIG_DFL]
    pid = os.getpid()

    def handle(number: int, frame: FrameType | None) -> None:
        global _received
        if os.getpid() != pid:  # a forked child, which has nothing to write
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
            return
        for each in ours:
            signal.signal(each, signal.SIG_IGN)
        _received = signal.Signals(number)
        _start_timer(MAX_SECONDS, _end)
        raise Terminated(_received)

    for number in ours:
        signal.signal(number, handle)
    try:
        yield
    except BaseException as error:
        if not (end := received_signal()):
            raise
        raise SystemExit(end.exit_code) if isinstance(error, SystemExit) else end from None
    finally:
        if not received_signal():
            for number in ours:
                signal.signal(number, signal.SIG_DFL)


def exit_soon() -> None:
    """End this process in LAST_SECONDS, without its threads: a trial of a sweep takes minutes."""
    _start_timer(LAST_SECONDS, _end)


def _start_timer(seconds: float, function: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, function)
    timer.daemon = True
    timer.start()


def _end() -> None:
    _start_timer(WRITING_SECONDS, _exit)
    for write in _final_writes:
        with contextlib.suppress(Exception):  # nobody is left to be told
            write()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or without a reader
            stream.flush()
    _exit()


def _exit() -> None:
    os._exit(Terminated(_received).exit_code if _received else 1)

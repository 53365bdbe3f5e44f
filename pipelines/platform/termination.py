"""Let SIGTERM and SIGHUP end a command as Ctrl-C does, so that its run leaves a record and its processes end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# YARN, Kubernetes, systemd and `kill`; a terminal that closes, which Windows has no signal for.
HANDLED = [signal.Signals[name] for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
MAX_SECONDS = 20.0  # from the signal to the end, whatever is in the way; Kubernetes kills after 30
LAST_SECONDS = 2.0  # for threads that are still at work when all is written


class Terminated(KeyboardInterrupt):
    """A signal asks this process to end. Whatever lets Ctrl-C through lets it through too."""

    def __init__(self, number: signal.Signals):
        super().__init__(f"ended by {number.name}")
        self.exit_code = 128 + number


_received: signal.Signals | None = None


def received() -> Terminated | None:
    """Return the signal that ends this process, also where another error has come of it since; null if none has."""
    return Terminated(_received) if _received else None


@contextmanager
def terminable() -> Iterator[None]:
    """Raise Terminated in the block when a signal comes, and out of it whatever the signal has led to.

    A SystemExit passes, with the signal's exit code. Signals that the parent ignores, as `nohup` does, or for which
    this process has a handler stay as they are. Outside the main thread, which alone may handle signals, this does
    nothing. The process ends MAX_SECONDS after the first signal at the latest; later ones are ignored.
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
        _end_after(MAX_SECONDS)
        raise Terminated(_received)

    for number in ours:
        signal.signal(number, handle)
    try:
        yield
    except BaseException as error:
        if not (end := received()):
            raise
        _end_after(LAST_SECONDS)
        raise SystemExit(end.exit_code) if isinstance(error, SystemExit) else end from None
    finally:
        if not received():
            for number in ours:
                signal.signal(number, signal.SIG_DFL)


def _end_after(seconds: float) -> None:
    """End this process after a while, without waiting for its threads: a trial of a sweep takes minutes."""
    timer = threading.Timer(seconds, _end)
    timer.daemon = True
    timer.start()


def _end() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or without a reader
            stream.flush()
    os._exit(Terminated(_received).exit_code if _received else 1)

"""Standard streams as a daemon, a pipe or another locale leaves them: closed, cut off, or not in UTF-8."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

BROKEN_PIPE = 141  # what a shell gives a program that SIGPIPE has ended
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_STREAMS = ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w"))


def open_streams() -> None:
    """Open the streams that are closed onto nothing, and let those that are not in UTF-8 escape what they lack.

    Without it the next file that is opened becomes standard output, and Java writes its messages into it.
    """
    for number, name, mode in _STREAMS:
        try:
            os.fstat(number)
        except OSError:
            nothing = os.open(os.devnull, os.O_RDWR)
            if nothing != number:
                os.dup2(nothing, number)
                os.close(nothing)
            os.set_inheritable(number, True)
            stream = os.fdopen(number, mode, encoding="utf-8", closefd=False)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
    stdout: Any = sys.stdout
    if hasattr(stdout, "reconfigure") and "utf" not in str(stdout.encoding).lower():
        stdout.reconfigure(errors="backslashreplace")


@contextmanager
def escape_control_characters() -> Iterator[None]:
    """Escape control characters in what is printed while the block runs; only those that lay out text stay.

    Names of files and texts from servers may hold sequences that move the cursor, hide lines or set the title.
    """
    out: Any = _EscapingStream(sys.stdout)
    err: Any = _EscapingStream(sys.stderr)
    with redirect_stdout(out), redirect_stderr(err):
        yield


class _EscapingStream:
    """Pass text on to a stream, control characters as their escapes."""

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        return int(self._stream.write(_CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)) or 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def use_utf8() -> None:
    """Start this command again in Python's UTF-8 mode where the locale names files in another encoding."""
    if os.name == "posix" and sys.getfilesystemencoding().lower() not in ("utf-8", "utf8") and not sys.flags.utf8_mode:
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def output_fault(error: BaseException) -> str:
    """Return why standard output cannot be written, if the error comes from there; else ""."""
    if not isinstance(error, OSError) or error.filename is not None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    if frames and (frames[-1].filename.endswith(("click/utils.py", "cli/__init__.py")) or frames[-1].name == "write"):
        return str(error.strerror)
    return ""


def discard_output() -> None:
    """Let what is still buffered for a standard output that cannot be written go nowhere, without a word at exit."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)

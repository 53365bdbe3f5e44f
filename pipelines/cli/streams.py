"""Robust standard streams: closed by a daemon, broken pipes, and encodings other than UTF-8."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

BROKEN_PIPE = 141  # exit code that a shell reports for a program killed by SIGPIPE
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_STREAMS = ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w"))


def open_streams() -> None:
    """Open closed standard streams on /dev/null, and make stdout escape characters that its encoding lacks.

    Otherwise the next file opened would become standard output, and Java would write its messages into it.
    """
    for number, name, mode in _STREAMS:
        try:
            os.fstat(number)
        except OSError:
            devnull = os.open(os.devnull, os.O_RDWR)
            if devnull != number:
                os.dup2(devnull, number)
                os.close(devnull)
            os.set_inheritable(number, True)
            stream = os.fdopen(number, mode, encoding="utf-8", closefd=False)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
    stdout: Any = sys.stdout
    if hasattr(stdout, "reconfigure") and "utf" not in str(stdout.encoding).lower():
        stdout.reconfigure(errors="backslashreplace")


@contextmanager
def escape_control_characters() -> Iterator[None]:
    """Escape control characters in all output of the block, except tab, newline and carriage return.

    File names and texts from servers may contain sequences that move the cursor, hide lines or set the title.
    """
    out: Any = _EscapingStream(sys.stdout)
    err: Any = _EscapingStream(sys.stderr)
    with redirect_stdout(out), redirect_stderr(err):
        yield


class _EscapingStream:
    """Stream wrapper that writes control characters as escape sequences."""

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        return int(self._stream.write(_CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", text)) or 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def use_utf8() -> None:
    """Restart the command in Python's UTF-8 mode if the locale's file system encoding is another one."""
    if os.name == "posix" and sys.getfilesystemencoding().lower() not in ("utf-8", "utf8") and not sys.flags.utf8_mode:
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def output_fault(error: BaseException) -> str:
    """Return why standard output cannot be written, if the error was raised by writing to it; else ""."""
    if not isinstance(error, OSError) or error.filename is not None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    if frames and (frames[-1].filename.endswith(("click/utils.py", "cli/app.py")) or frames[-1].name == "write"):
        return str(error.strerror)
    return ""


def discard_output() -> None:
    """Redirect standard output to /dev/null, so that flushing its buffer at exit raises nothing."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.close(devnull)

"""Say in one line what an error of Java, Spark or a worker comes from."""

from __future__ import annotations

import re

_JAVA = re.compile(r"^(?:Caused by: ([\w.$]+\b.*)|(?:: )?((?:[a-z_]\w*\.)+[A-Z]\w*(?:Exception|Error|Throwable)\b.*))$")
_PYTHON = re.compile(r"^(?:\w+\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Warning)(?::.*)?$")
_FILE = re.compile(r"(?:file|dbfs|abfss?|wasbs?|hdfs|s3a?):/[^\s,'\")]+")
MAX_LENGTH = 400


def root_cause(error: BaseException) -> str:
    """Return what is at the bottom of an error, `ModuleNotFoundError: ...`, with the file it is about if it names one.

    Of Java's and Spark's, whose text holds whole stacks, the last cause; of a worker's, the last line of its traceback.
    """
    if isinstance(error, BrokenPipeError):
        return "BrokenPipeError: whoever read the output has closed it"
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        return f"{type(error).__name__}: {lines[0] if lines else ''}".removesuffix(": ")
    found = _worker_cause(text.splitlines()) or _java_cause(text.splitlines()) or f"{type(error).__name__}: {lines[0]}"
    named = _FILE.search(text)
    if named and named[0] not in found and len(found) + len(named[0]) < MAX_LENGTH:
        found = f"{found} ({named[0].rstrip('.')})"
    return found if len(found) <= MAX_LENGTH else f"{found[:MAX_LENGTH]}..."


def _worker_cause(lines: list[str]) -> str:
    """Return the line that ends the last traceback of Python in a text."""
    starts = [i for i, line in enumerate(lines) if line.strip().startswith("Traceback (most recent call last)")]
    for line in lines[starts[-1] + 1 :] if starts else ():
        if _PYTHON.match(line.strip()):
            return line.strip()
    return ""


def _java_cause(lines: list[str]) -> str:
    causes = [
        match[1] or match[2] for line in lines if not line.startswith("\t") and (match := _JAVA.match(line.strip()))
    ]
    return causes[-1] if causes else ""

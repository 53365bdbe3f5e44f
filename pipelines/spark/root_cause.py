"""Summarise an error of Java, Spark or a Python worker in one line."""

from __future__ import annotations

import re

_JAVA = re.compile(r"^(?:Caused by: ([\w.$]+\b.*)|(?:: )?((?:[a-z_]\w*\.)+[A-Z]\w*(?:Exception|Error|Throwable)\b.*))$")
_PYTHON = re.compile(r"^(?:\w+\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Warning)(?::.*)?$")
_FILE = re.compile(r"(?:file|dbfs|abfss?|wasbs?|hdfs|s3a?):/[^\s,'\")]+")
MAX_LENGTH = 400


def root_cause(error: BaseException) -> str:
    """Return the root cause of an error, such as `ModuleNotFoundError: ...`, with the file that it mentions.

    For errors of Java and Spark, whose text has whole stack traces, this is the last cause; for errors of a Python
    worker, the last line of its traceback.
    """
    if isinstance(error, BrokenPipeError):
        return "BrokenPipeError: the reader of the output has closed it"
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        return f"{type(error).__name__}: {lines[0] if lines else ''}".removesuffix(": ")
    cause = _worker_cause(text.splitlines()) or _java_cause(text.splitlines()) or f"{type(error).__name__}: {lines[0]}"
    file = _FILE.search(text)
    if file and file[0] not in cause and len(cause) + len(file[0]) < MAX_LENGTH:
        cause = f"{cause} ({file[0].rstrip('.')})"
    return cause if len(cause) <= MAX_LENGTH else f"{cause[:MAX_LENGTH]}..."


def _worker_cause(lines: list[str]) -> str:
    """Return the last line of the last Python traceback in a text; "" if there is none."""
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

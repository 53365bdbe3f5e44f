"""Of the pages that Java and Spark write, the one line that says why."""

from __future__ import annotations

import pytest

from pipelines.spark.root_cause import MAX_LENGTH, root_cause

JAVA = """An error occurred while calling o782.save.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 19.0 failed 1 times:
\tat org.apache.spark.sql.errors.QueryExecutionErrors$.x(QueryExecutionErrors.scala:788)
Caused by: org.apache.spark.SparkException: Task failed while writing rows to file:/survey/tables/images.
\tat java.base/java.lang.Thread.run(Thread.java:840)
Caused by: java.io.IOException: Stale file handle
\tat java.base/java.io.FileOutputStream.writeBytes(Native Method)
\t... 13 more"""
WORKER = """An error occurred while calling o198.collectToPython.
: org.apache.spark.SparkException: Job aborted due to stage failure
Error from python worker:
  Traceback (most recent call last):
    File "/x/pipelines/stages/ingest.py", line 15, in look
      raise ValueError("no such thing")
  ValueError: no such thing: /pics/a.jpg

\tat org.apache.spark.api.python.BasePythonRunner$ReaderIterator.handle(PythonRunner.scala:572)
Caused by: java.io.EOFException
\tat java.base/java.io.DataInputStream.readInt(DataInputStream.java:397)"""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
        (KeyError(), "KeyError"),
        (RuntimeError(JAVA), "java.io.IOException: Stale file handle (file:/survey/tables/images)"),
        (
            RuntimeError("o1\nCaused by: ExitCodeException exitCode=1: chmod: no"),
            "ExitCodeException exitCode=1: chmod: no",
        ),
        (RuntimeError(WORKER), "ValueError: no such thing: /pics/a.jpg"),
        (RuntimeError("two lines\nof its own"), "RuntimeError: two lines"),
        (BrokenPipeError(32, "Broken pipe"), "BrokenPipeError: the reader of the output has closed it"),
    ],
)
def test_the_last_cause_is_said(error, said):
    assert root_cause(error) == said


def test_a_long_cause_is_cut():
    said = root_cause(RuntimeError(f"first\nCaused by: java.io.IOException: {'x' * 9000}"))
    assert said.startswith("java.io.IOException: xxx") and len(said) == MAX_LENGTH + 3

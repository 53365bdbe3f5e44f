"""Record a run where it works: WORKSPACE/runs/ID holds its log, its results, the report and the model that it made.

So its log can be followed, and what it made be fetched, from anywhere that reaches the workspace.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.sql import SparkSession

from pipelines.atomic_write import write_atomic
from pipelines.config.settings import Settings
from pipelines.disk_space import disk_full
from pipelines.errors import PlatformError, UserError
from pipelines.processes import Process
from pipelines.runs.history import (
    FAILED,
    LOCAL,
    RUNNING,
    STOPPED,
    SUCCEEDED,
    RunHistory,
    RunRecord,
    new_run_id,
    utc_now,
)
from pipelines.runs.log import RunLog
from pipelines.spark.root_cause import root_cause
from pipelines.spark.runtime import is_external_session
from pipelines.stages.result import StageResult
from pipelines.termination import before_forced_exit, received_signal
from pipelines.tracking.code_version import code_version
from pipelines.workspace.files import read_text, upload_dir, write_text
from pipelines.workspace.orphans import remove_orphans
from pipelines.workspace.tables import Tables, workspace_uri


class RunRecorder:
    """Keep what a run says and gives."""

    def __init__(self, words: Sequence[str], settings: Settings):
        self.id = settings.runs.id or new_run_id(words[0])
        self.name = f"runs/{self.id}/{words[0]}"  # the tasks of one job share the folder
        self.settings, self.words = settings, words
        self.started, self.results = utc_now(), list[StageResult]()
        self.tables: Tables | None = None
        self._is_broken = False
        self.log = RunLog(self._write)

    def attach_session(self, spark: SparkSession) -> None:
        """Take the session, which reaches workspaces that are no folder of this machine."""
        self.tables = Tables.of(spark, self.settings)

    def add(self, result: StageResult) -> None:
        """Keep a stage's result, and a copy of what it made."""
        self.results.append(result)
        if self.tables is None or not result.artifacts:
            return
        if page := result.artifacts.get("report"):
            write_text(self.tables, f"runs/{self.id}/report.html", read_text(self.tables, page) or "")
        if number := result.artifacts.get("model"):
            from pipelines.tracking.mlflow_client import Tracking  # seconds, where a run has nothing to do

            tracking = Tracking.of(self.settings)
            with tempfile.TemporaryDirectory() as folder:
                tracking.save(tracking.get_version(number), Path(folder))
                upload_dir(self.tables, Path(folder), f"runs/{self.id}/model")

    def end(self, state: str, error: str = "", is_bereft: bool = False) -> None:
        """Write the results down. `is_bereft`: Spark has ended under it, of which only the place knows why."""
        self.log.stop()
        found = {
            "id": self.id,
            "words": self.words,
            "state": state,
            "started": self.started,
            "ended": utc_now(),
            "stages": [_stage_as_dict(each) for each in self.results],
            "error": error,
            "is_bereft": is_bereft,
            "code": code_version(),
        }
        self._write("json", json.dumps(found, indent=2, ensure_ascii=False))

    def _write(self, kind: str, text: str) -> bool:
        """Write a file of the record; false where there is no way yet, or no more, to where it belongs."""
        name, folder = f"{self.name}.{kind}", workspace_uri(self.settings)
        if self._is_broken or ("://" in folder and self.tables is None):
            return False
        try:
            if self.tables is None:
                write_atomic(Path(folder, name), text.encode())
            else:
                write_text(self.tables, name, text)
        except Exception as error:  # whatever the place answers: the work itself must not end of it
            self._is_broken = True
            print(f"irbis: the run's record cannot be written any more: {error}", file=sys.__stderr__)
        return not self._is_broken


@contextmanager
def record_run(words: Sequence[str], settings: Settings, differing: dict[str, Any]) -> Iterator[RunRecorder]:
    """Record the run that the block is; one that was started here stands in this machine's history too."""
    recording, history = RunRecorder(words, settings), RunHistory(settings.runs.history_dir)
    entry = RunRecord(
        recording.id, tuple(words), LOCAL, differing, workspace_uri(settings), os.getcwd(), recording.started,
        process=Process.of(os.getpid()),
    )  # fmt: skip
    is_ours = settings.runs.id is None and not is_external_session() and _write_history(entry, history)
    state, error, is_bereft = RUNNING, "", False

    @cache  # the latest moment may have come before the block let go
    def finish() -> None:
        nonlocal state, error
        if (end := received_signal()) and state != SUCCEEDED:
            state, error = STOPPED, str(end)
            recording.log.add(f"irbis: {end}.\n")
        outcome = error.splitlines()[0] if error else "; ".join(each.outcome for each in recording.results[-1:])
        if is_ours:
            _write_history(replace(entry, state=state, ended=utc_now(), outcome=outcome), history)
        recording.end(state, error, is_bereft)

    try:
        with recording.log.capture_output(), before_forced_exit(finish):
            yield recording
        state = SUCCEEDED
    except UserError as fault:
        _clean_up(recording)
        state, error = FAILED, "\n".join(fault.faults)
        recording.log.add("".join(f"irbis: {each}\n" for each in fault.faults))
        raise
    except (KeyboardInterrupt, SystemExit):
        state, error = STOPPED, "stopped"
        raise
    except BaseException as fault:
        if received_signal():  # Java has got the signal too, and answers no more
            raise
        recording.log.add(traceback.format_exc())
        full = disk_full(fault, workspace_uri(settings))  # as it was before there is more room
        _clean_up(recording)
        if full:
            state, error = FAILED, str(full)
            recording.log.add(f"irbis: {full}\n")
            raise full from fault
        state, error = FAILED, root_cause(fault)
        if is_bereft := _has_lost_java(fault):
            error = f"Spark has ended in the middle of the run ({error})."
        fault.record = f"{workspace_uri(settings)}/{recording.name}.log"  # type: ignore[attr-defined]
        raise
    finally:
        finish()


def _clean_up(recording: RunRecorder) -> None:
    """Remove what a failed commit has left, or say why it cannot be removed: the fault itself is what counts."""
    try:
        remove_orphans(workspace_uri(recording.settings), recording.tables)
    except OSError as error:
        print(f"irbis: what a failed commit has left stays until `irbis clean` ({error}).", file=sys.stderr)


def _has_lost_java(error: BaseException) -> bool:
    """Say whether the error is that Java does not answer, rather than anything that it has answered."""
    return isinstance(error, (Py4JError, ConnectionRefusedError)) and not isinstance(error, Py4JJavaError)


def _stage_as_dict(result: StageResult) -> dict[str, Any]:
    return {
        "stage": result.stage,
        "read": result.read,
        "written": result.written,
        "failures": {str(name): count for name, count in result.failures.items()},
        "seconds": round(result.seconds, 1),
        "notes": list(result.notes),
        "outcome": result.outcome,
        "made": dict(result.artifacts),
    }


def record_rejected_run(names: Sequence[str], settings: Settings, error: UserError) -> None:
    """Record a run that was sent here and ended before it began: whoever has sent it reads nothing else of it."""
    recording = RunRecorder([names[0] if len(names) == 1 else "run"], settings)
    if "://" in workspace_uri(settings):
        recording.attach_session(SparkSession.builder.getOrCreate())
    recording.log.add("".join(f"irbis: {each}\n" for each in error.faults))
    recording.end(FAILED, "\n".join(error.faults))


def _write_history(entry: RunRecord, history: RunHistory) -> bool:
    """Note a run, or say why it cannot be: it runs all the same."""
    try:
        history.write(entry)
    except PlatformError as error:
        print(f"irbis: {error}", file=sys.stderr)
        return False
    return True

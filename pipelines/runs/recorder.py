"""Record a run in its workspace: WORKSPACE/runs/ID holds its log, its results, its report and its model.

So the log can be followed, and the files downloaded, from any machine that reaches the workspace.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.sql import SparkSession

from pipelines.atomic_write import write_atomic
from pipelines.config.settings import Settings
from pipelines.disk_space import explain_full_disk
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
from pipelines.runs.log import LogFiles, RunLog
from pipelines.spark.root_cause import root_cause
from pipelines.spark.runtime import is_external_session
from pipelines.stages.result import StageResult
from pipelines.termination import before_forced_exit, received_signal
from pipelines.tracking.code_version import code_version
from pipelines.workspace.files import list_files, read_text, upload_dir, write_text
from pipelines.workspace.free_space import remove_failed_commit
from pipelines.workspace.location import workspace_uri
from pipelines.workspace.tables import Tables


class RunRecorder:
    """Writer of a run's log, results and artifacts."""

    def __init__(self, words: Sequence[str], settings: Settings):
        self.id = settings.runs.id or new_run_id(words[0])
        self.settings, self.words = settings, words
        self.started, self.results = utc_now(), list[StageResult]()
        self.tables: Tables | None = None
        self._is_broken = False
        workspace = workspace_uri(settings)
        self._folder = None if "://" in workspace else Path(workspace, "runs", self.id)
        self._log_files = LogFiles(words[0], self._folder, self._write, self._list_names)
        self.log = RunLog(self._append_log)

    def attach_session(self, spark: SparkSession) -> None:
        """Use this session to write to workspaces that are not a local folder."""
        self.tables = Tables.of(spark, self.settings)

    def add(self, result: StageResult) -> None:
        """Add a stage's result, and copy its report and model to the run's folder."""
        self.results.append(result)
        if self.tables is None or not result.artifacts:
            return
        if page := result.artifacts.get("report"):
            write_text(self.tables, f"runs/{self.id}/report.html", read_text(self.tables, page) or "")
        if number := result.artifacts.get("model"):
            from pipelines.tracking.mlflow_client import Tracking  # imported here because MLflow takes seconds to load

            tracking = Tracking.of(self.settings)
            with tempfile.TemporaryDirectory() as folder:
                tracking.save(tracking.get_version(number), Path(folder))
                upload_dir(self.tables, Path(folder), f"runs/{self.id}/model")

    def end(self, state: str, error: str = "", has_lost_spark: bool = False) -> None:
        """Write the results. `has_lost_spark`: the driver ended first, so only the backend knows the reason."""
        self.log.stop()
        record = {
            "id": self.id,
            "command": self.words,
            "state": state,
            "started": self.started,
            "ended": utc_now(),
            "stages": [_stage_as_dict(result) for result in self.results],
            "error": error,
            "has_lost_spark": has_lost_spark,
            "code": code_version(),
        }
        text = json.dumps(record, indent=2, ensure_ascii=False)
        self._try(lambda: self._write(f"{self.words[0]}.json", text))

    def _append_log(self, text: str) -> bool:
        return self._try(lambda: self._log_files.append(text))

    def _try(self, write: Callable[[], None]) -> bool:
        """Call `write`; return False if the workspace cannot be reached yet. After an error nothing more is written."""
        if self._is_broken:
            return True
        if self._folder is None and self.tables is None:
            return False
        try:
            write()
        except Exception as error:  # recording must never end the run itself
            self._is_broken = True
            print(f"irbis: the run's record can no longer be written: {error}", file=sys.__stderr__)
        return True

    def _write(self, name: str, text: str) -> None:
        """Write a file of the run's folder."""
        if self._folder is not None:
            write_atomic(self._folder / name, text.encode())
        elif self.tables is not None:
            write_text(self.tables, f"runs/{self.id}/{name}", text)

    def _list_names(self) -> list[str]:
        """List the files of the run's folder."""
        if self._folder is not None:
            return os.listdir(self._folder)
        return [name for name, _, _ in list_files(self.tables, f"runs/{self.id}")] if self.tables else []


@contextmanager
def record_run(words: Sequence[str], settings: Settings, changed: dict[str, Any]) -> Iterator[RunRecorder]:
    """Record the block as a run; if it was started on this machine, add it to the run history as well.

    `changed` are the settings that differ from conf/base.yaml.
    """
    recorder, history = RunRecorder(words, settings), RunHistory(settings.runs.history_dir)
    entry = RunRecord(
        recorder.id, tuple(words), LOCAL, changed, workspace_uri(settings), os.getcwd(), recorder.started,
        process=Process.of(os.getpid()),
    )  # fmt: skip
    is_ours = settings.runs.id is None and not is_external_session() and _write_history(entry, history)
    state, error, has_lost_spark = RUNNING, "", False

    @cache  # called once: the forced exit may come before the end of the block
    def finish() -> None:
        nonlocal state, error
        if (end := received_signal()) and state != SUCCEEDED:
            state, error = STOPPED, str(end)
            recorder.log.add(f"irbis: {end}.\n")
        outcome = error.splitlines()[0] if error else "; ".join(result.outcome for result in recorder.results[-1:])
        if is_ours:
            _write_history(replace(entry, state=state, ended=utc_now(), outcome=outcome), history)
        recorder.end(state, error, has_lost_spark)

    try:
        with recorder.log.capture_output(), before_forced_exit(finish):
            yield recorder
        state = SUCCEEDED
    except UserError as fault:
        remove_failed_commit(entry.workspace, recorder.tables)
        state, error = FAILED, "\n".join(fault.faults)
        recorder.log.add("".join(f"irbis: {line}\n" for line in fault.faults))
        raise
    except (KeyboardInterrupt, SystemExit):
        state, error = STOPPED, "stopped"
        raise
    except BaseException as fault:
        if received_signal():  # Java got the signal too and does not answer any more
            raise
        recorder.log.add(traceback.format_exc())
        full = explain_full_disk(fault, workspace_uri(settings))  # before cleaning up, which frees space
        remove_failed_commit(entry.workspace, recorder.tables)
        if full:
            state, error = FAILED, str(full)
            recorder.log.add(f"irbis: {full}\n")
            raise full from fault
        state, error = FAILED, root_cause(fault)
        if has_lost_spark := _has_lost_java(fault):
            error = f"Spark ended in the middle of the run ({error})."
        fault.record = f"{entry.folder}/{words[0]}.log"  # type: ignore[attr-defined]
        raise
    finally:
        finish()


def _has_lost_java(error: BaseException) -> bool:
    """Return whether the error means that Java does not answer, rather than being its answer."""
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
        "artifacts": dict(result.artifacts),
    }


def record_rejected_run(names: Sequence[str], settings: Settings, error: UserError) -> None:
    """Record a submitted run that fails before its first stage, since the submitter sees only its record."""
    recorder = RunRecorder([names[0] if len(names) == 1 else "run"], settings)
    if "://" in workspace_uri(settings):
        recorder.attach_session(SparkSession.builder.getOrCreate())
    recorder.log.add("".join(f"irbis: {line}\n" for line in error.faults))
    recorder.end(FAILED, "\n".join(error.faults))


def _write_history(entry: RunRecord, history: RunHistory) -> bool:
    """Write an entry to the history; if that fails, print why and return False, as the run can go on without."""
    try:
        history.write(entry)
    except PlatformError as error:
        print(f"irbis: {error}", file=sys.stderr)
        return False
    return True

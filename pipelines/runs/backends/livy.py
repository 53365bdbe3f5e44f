"""HDInsight, or any Livy from 0.5 on: runs are batches; files lie in a workspace that the cluster and we see."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipelines.config.settings import Settings
from pipelines.errors import AccessError, DataError, PlatformError
from pipelines.runs.backends.base import ConnectionLost, Handle, RunRequest, RunStatus, WorkspaceFiles
from pipelines.runs.backends.livy_client import BatchNotFound, LivyClient
from pipelines.runs.backends.shared_workspace import (
    UPLOADS_DIR,
    SharedWorkspaceBackend,
    code_zip,
    job_arguments,
    job_script,
    relevant_log_lines,
    spark_conf_for,
    with_driver_paths,
)
from pipelines.runs.history import FAILED, RUNNING, PENDING, STOPPED, SUCCEEDED

STATES = {
    "not_started": PENDING,
    "starting": PENDING,
    "success": SUCCEEDED,
    "dead": FAILED,
    "error": FAILED,
    "killed": STOPPED,
}
LIVY_MANAGED_CONF = ("spark.master", "spark.submit.deployMode")  # Livy says these itself, and refuses a batch that does
SEARCH_LIMIT = 50  # latest batches, where one is looked for
STARTUP_SECONDS = 90.0  # seconds that a batch may take to say what it is
STALE_SECONDS = 1800.0  # seconds without a word, after which a run that Livy has forgotten is given up


def create(name: str, settings: Settings, files: WorkspaceFiles | None) -> LivyBackend:
    assert files is not None, "the workspace is reached from outside"
    return LivyBackend(settings, files)


class LivyBackend(SharedWorkspaceBackend):
    """Speak to the cluster's Livy."""

    def __init__(self, settings: Settings, files: WorkspaceFiles):
        super().__init__(files)
        self._settings, self._spark_conf = settings.hdinsight, settings.spark.conf
        self._record_sizes: dict[int, tuple[int, float]] = {}  # bytes of a run's log, and when there were first so many

    @cached_property
    def _livy(self) -> LivyClient:
        return LivyClient(self._settings)

    def submit(self, job: RunRequest, workspace: str) -> Handle:
        if job.existing or job.notebook:
            raise DataError("--on hdinsight runs stages: it has no deployed jobs, and no notebooks.")
        asked = self._batch_request(job, workspace)
        try:
            batch = self._livy.request("POST", "/batches", asked)
        except ConnectionLost:  # it may have heard all the same
            found = self.find(job.id)
            if not found:
                raise
            return {**found, "workspace": workspace}
        return {"batch": batch["id"], "url": self._livy.url, "id": job.id, "workspace": workspace}

    def find(self, identifier: str) -> Handle | None:
        """Look for the batch by its name, or, as 0.5 tells none, by the job file's address in what it said."""
        limit = time.monotonic() + STARTUP_SECONDS
        while True:
            is_decided = True
            for batch in self._livy.batches()[:SEARCH_LIMIT]:
                lines = [] if batch.get("name") else self._log_lines(batch["id"])
                if batch.get("name") == _batch_name(identifier) or any(
                    f"/{UPLOADS_DIR}/{identifier}/" in line for line in lines
                ):
                    return {"batch": batch["id"], "url": self._livy.url, "id": identifier, "workspace": None}
                is_decided &= bool(batch.get("name") or batch.get("appId") or STATES.get(batch["state"]) != PENDING)
            if is_decided or time.monotonic() > limit:
                return None
            time.sleep(1)

    def progress(self, handle: Handle) -> RunStatus:
        number, folder = self._batch_id(handle), _run_folder(handle)
        try:
            batch = self._livy.request("GET", f"/batches/{number}")
        except BatchNotFound:
            return self._status_from_record(number, folder)
        if batch.get("name") not in (None, _batch_name(handle["id"])):  # a Livy that counts anew since it was restarted
            return self._status_from_record(number, folder)
        word = str(batch["state"])
        state = STATES.get(word, RUNNING)
        if state == FAILED and self.recorded_state(folder) == STOPPED:
            state = STOPPED
        return RunStatus(state, word, {"batch": word}, f"{self._livy.url}/batches/{number}")

    def failure_reason(self, handle: Handle) -> str:
        return relevant_log_lines(self._log_lines(self._batch_id(handle)))

    def fetch_artifacts(self, handle: Handle) -> Mapping[str, bytes]:
        """Give what Livy still has of the log, which it forgets sooner or later."""
        lines = self._log_lines(self._batch_id(handle))
        return {"livy.txt": "\n".join(lines).encode()} if lines else {}

    def cancel(self, handle: Handle) -> None:
        number = self._batch_id(handle)
        try:
            self._livy.request("GET", f"/batches/{number}")
            self.mark_cancelled(_run_folder(handle), handle["id"])  # before: a batch that is ended is forgotten
            self._livy.request("DELETE", f"/batches/{number}")
        except BatchNotFound as error:
            raise AccessError(
                f"{handle['id']}: Livy has forgotten batch {number}, as after a restart. If it goes on, end it where "
                "it runs: `yarn application -list`, `yarn application -kill ID`."
            ) from error

    def _batch_request(self, job: RunRequest, workspace: str) -> dict[str, Any]:
        """Give what Livy is told: the job file of the command, this code, its environment, settings and words."""
        script = f"{workspace}/{UPLOADS_DIR}/{job.id}/{job.words[0]}.py"  # of its own, to be known by
        self.write(script, job_script(job).read_bytes())
        with code_zip() as code:
            sent = _encode_uri(self.upload_file(code, workspace))
        asked: dict[str, Any] = {"name": _batch_name(job.id), "file": _encode_uri(script), "pyFiles": [sent]}
        conf = spark_conf_for(job, self._settings.packages, self._spark_conf)
        python = self._settings.python
        if archive := self._settings.archive:
            here = Path(archive).expanduser()
            asked["archives"] = [
                f"{_encode_uri(self.upload_file(here, workspace)) if here.is_file() else archive}#environment"
            ]
            python = "./environment/bin/python"
        if python:
            conf |= {"spark.pyspark.python": python, "spark.yarn.appMasterEnv.PYSPARK_PYTHON": python}
        asked["conf"] = {name: value for name, value in conf.items() if name not in LIVY_MANAGED_CONF}
        if far := [file for file in job.files if "://" in file]:  # Python's own open() does not read there
            asked["files"] = [_encode_uri(file) for file in far]
        return {**asked, "args": job_arguments(with_driver_paths(job, far))}

    def _status_from_record(self, number: int, folder: str) -> RunStatus:
        """Say how a run is that Livy does not know any more, as its own record has it."""
        said = f"Livy has forgotten batch {number}"
        if state := self.recorded_state(folder):
            return RunStatus(state, "cancelled" if state == STOPPED else said)
        size = sum(size for _, size in self.files(folder))
        heard, since = self._record_sizes.get(number, (-1, 0.0))
        if heard != size:
            since = time.monotonic()
            self._record_sizes[number] = size, since
        if time.monotonic() - since > STALE_SECONDS:
            return RunStatus(FAILED, f"{said}, and it has said nothing for half an hour")
        return RunStatus(RUNNING, said, {"batch": "forgotten by Livy; its own record goes on"})

    def _log_lines(self, number: int) -> list[str]:
        try:
            return self._livy.log(number)
        except BatchNotFound:
            return []

    def _batch_id(self, handle: Handle) -> int:
        if handle["url"] != self._livy.url:
            raise PlatformError(
                f"The run is in {handle['url']}, but hdinsight.url = {self._livy.url}. Choose the other: "
                f"--set hdinsight.url={handle['url']}."
            )
        return int(handle["batch"])


def _encode_uri(address: str) -> str:
    """Give an address as Livy reads it: escaped, and a folder with its scheme, as else it is unescaped too early."""
    scheme, _, rest = address.rpartition("://")
    return f"{scheme or 'file'}://{quote(rest, safe='/@:')}"


def _batch_name(identifier: str) -> str:
    return f"irbis {identifier}"


def _run_folder(handle: Handle) -> str:
    return f"{handle['workspace']}/runs/{handle['id']}"

"""Livy backend (0.5 or later), as on HDInsight: runs are batches; both sides can reach the workspace's files."""

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
from pipelines.runs.history import FAILED, PENDING, RUNNING, STOPPED, SUCCEEDED

PATTERN = EXAMPLES = "hdinsight"
STATES = {
    "not_started": PENDING,
    "starting": PENDING,
    "success": SUCCEEDED,
    "dead": FAILED,
    "error": FAILED,
    "killed": STOPPED,
}
LIVY_MANAGED_CONF = ("spark.master", "spark.submit.deployMode")  # set by Livy, which rejects batches that set them
SEARCH_LIMIT = 50  # latest batches that are searched for a run
STARTUP_SECONDS = 90.0  # seconds that a new batch may take until it can be identified
STALE_SECONDS = 1800.0  # seconds without output, after which a run that Livy has forgotten counts as failed


def create(name: str, settings: Settings, files: WorkspaceFiles | None) -> LivyBackend:
    assert files is not None, "this backend needs access to the workspace's files"
    return LivyBackend(settings, files)


class LivyBackend(SharedWorkspaceBackend):
    """Backend for a cluster's Livy server."""

    def __init__(self, settings: Settings, files: WorkspaceFiles):
        super().__init__(files)
        self._settings, self._spark_conf = settings.hdinsight, settings.spark.conf
        self._record_sizes: dict[int, tuple[int, float]] = {}  # batch -> (bytes of its record, since when)

    @cached_property
    def _livy(self) -> LivyClient:
        return LivyClient(self._settings)

    def submit(self, job: RunRequest, workspace: str) -> Handle:
        if job.existing or job.notebook:
            raise DataError("--on hdinsight runs stages: it has no deployed jobs, and no notebooks.")
        request = self._batch_request(job, workspace)
        try:
            batch = self._livy.request("POST", "/batches", request)
        except ConnectionLost:  # Livy may have received the request all the same
            handle = self.find(job.id)
            if not handle:
                raise
            return {**handle, "workspace": workspace}
        return {"batch": batch["id"], "url": self._livy.url, "id": job.id, "workspace": workspace}

    def find(self, identifier: str) -> Handle | None:
        """Find the batch by its name or, since Livy 0.5 has no names, by the address of the job script in its log."""
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

    def get_status(self, handle: Handle) -> RunStatus:
        number, folder = self._batch_id(handle), _run_folder(handle)
        try:
            batch = self._livy.request("GET", f"/batches/{number}")
        except BatchNotFound:
            return self._status_from_record(number, folder)
        if batch.get("name") not in (None, _batch_name(handle["id"])):  # ids start again after a restart of Livy
            return self._status_from_record(number, folder)
        word = str(batch["state"])
        state = STATES.get(word, RUNNING)
        if state == FAILED and self.recorded_state(folder) == STOPPED:
            state = STOPPED
        return RunStatus(state, word, {"batch": word}, f"{self._livy.url}/batches/{number}")

    def failure_reason(self, handle: Handle) -> str:
        return relevant_log_lines(self._log_lines(self._batch_id(handle)))

    def fetch_artifacts(self, handle: Handle) -> Mapping[str, bytes]:
        """Return the part of the log that Livy still has; it discards logs of ended batches."""
        lines = self._log_lines(self._batch_id(handle))
        return {"livy.txt": "\n".join(lines).encode()} if lines else {}

    def cancel(self, handle: Handle) -> None:
        number = self._batch_id(handle)
        try:
            self._livy.request("GET", f"/batches/{number}")
            self.mark_cancelled(_run_folder(handle), handle["id"])  # first, as Livy forgets a deleted batch
            self._livy.request("DELETE", f"/batches/{number}")
        except BatchNotFound as error:
            raise AccessError(
                f"{handle['id']}: Livy does not know batch {number} any more, as after a restart. If it is still "
                "running, stop it on the cluster: `yarn application -list`, `yarn application -kill ID`."
            ) from error

    def _batch_request(self, job: RunRequest, workspace: str) -> dict[str, Any]:
        """Return the body of the request: job script, code, Python environment, settings and arguments."""
        script = f"{workspace}/{UPLOADS_DIR}/{job.id}/{job.words[0]}.py"  # unique: `find` identifies the batch by it
        self.write(script, job_script(job).read_bytes())
        with code_zip() as code:
            code_uri = _encode_uri(self.upload_file(code, workspace))
        body: dict[str, Any] = {"name": _batch_name(job.id), "file": _encode_uri(script), "pyFiles": [code_uri]}
        conf = spark_conf_for(job, self._settings.packages, self._spark_conf)
        python = self._settings.python
        if archive := self._settings.archive:
            local = Path(archive).expanduser()
            body["archives"] = [
                f"{_encode_uri(self.upload_file(local, workspace)) if local.is_file() else archive}#environment"
            ]
            python = "./environment/bin/python"
        if python:
            conf |= {"spark.pyspark.python": python, "spark.yarn.appMasterEnv.PYSPARK_PYTHON": python}
        body["conf"] = {name: value for name, value in conf.items() if name not in LIVY_MANAGED_CONF}
        if remote := [file for file in job.files if "://" in file]:  # Python's open() cannot read URIs
            body["files"] = [_encode_uri(file) for file in remote]
        return {**body, "args": job_arguments(with_driver_paths(job, remote))}

    def _status_from_record(self, number: int, folder: str) -> RunStatus:
        """Return the status of a run that Livy does not know any more, from the run's own record."""
        detail = f"Livy does not know batch {number} any more"
        if state := self.recorded_state(folder):
            return RunStatus(state, "cancelled" if state == STOPPED else detail)
        size = sum(size for _, size in self.files(folder))
        previous_size, since = self._record_sizes.get(number, (-1, 0.0))
        if previous_size != size:
            since = time.monotonic()
            self._record_sizes[number] = size, since
        if time.monotonic() - since > STALE_SECONDS:
            return RunStatus(FAILED, f"{detail}, and it has written nothing for half an hour")
        return RunStatus(RUNNING, detail, {"batch": "forgotten by Livy, still writing its record"})

    def _log_lines(self, number: int) -> list[str]:
        try:
            return self._livy.log(number)
        except BatchNotFound:
            return []

    def _batch_id(self, handle: Handle) -> int:
        if handle["url"] != self._livy.url:
            raise PlatformError(
                f"The run is in {handle['url']}, but hdinsight.url = {self._livy.url}. Choose the right one: "
                f"--set hdinsight.url={handle['url']}."
            )
        return int(handle["batch"])


def _encode_uri(address: str) -> str:
    """Return an address as a percent-encoded URI; a local path gets `file://`, or Livy would decode it too early."""
    scheme, _, rest = address.rpartition("://")
    return f"{scheme or 'file'}://{quote(rest, safe='/@:')}"


def _batch_name(identifier: str) -> str:
    return f"irbis {identifier}"


def _run_folder(handle: Handle) -> str:
    return f"{handle['workspace']}/runs/{handle['id']}"

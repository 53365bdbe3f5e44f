"""Databricks backend: one-time runs and runs of deployed jobs through its SDK; files are in a Unity Catalog volume."""

from __future__ import annotations

import base64
import io
import logging
import re
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.config.settings import SYNAPSEML, SYNAPSEML_PYTHON, Settings
from pipelines.databricks.bundle import Tree, render
from pipelines.errors import DataError, PlatformError
from pipelines.runs.backends.base import Handle, RunRequest, RunStatus, WorkspaceFiles
from pipelines.runs.backends.databricks_errors import map_state, translate_errors
from pipelines.runs.backends.shared_workspace import content_addressed_dir, job_arguments, job_script
from pipelines.runs.history import FAILED
from pipelines.runs.package import build_wheel

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

PATTERN = EXAMPLES = "databricks"
VOLUME = re.compile(r"/Volumes/[^/]+/[^/]+/[^/]+")
RETRY_SECONDS, SEARCH_LIMIT = 60, 200  # the latter: latest runs that are searched for a name


def create(name: str, settings: Settings, files: WorkspaceFiles | None) -> DatabricksBackend:
    return DatabricksBackend(settings)


class DatabricksBackend:
    """Backend for the Databricks workspace that the `databricks` CLI is logged in to."""

    def __init__(self, settings: Settings):
        self._settings = settings.databricks

    @cached_property
    def _client(self) -> WorkspaceClient:
        from databricks.sdk import WorkspaceClient
        from databricks.sdk.config import Config

        logging.getLogger("databricks.sdk").setLevel(logging.ERROR)  # it warns of optional features
        try:
            # The SDK retries silently for this long; a short limit lets `follow` report the lost connection.
            return WorkspaceClient(config=Config(profile=self._settings.profile, retry_timeout_seconds=RETRY_SECONDS))
        except ValueError as error:  # the SDK found no workspace or no credentials
            reason = str(error).splitlines()[0].rstrip(".")
            raise PlatformError(
                f"Not authenticated to Databricks ({reason}). Run `databricks auth login --host https://...`, or set "
                "DATABRICKS_HOST and DATABRICKS_TOKEN."
            ) from error

    def validate(self, settings: Mapping[str, Any]) -> list[str]:
        faults, workspace = [], settings["workspace"]
        if not VOLUME.match(workspace):
            faults.append(
                f"workspace = {workspace} is not in a Unity Catalog volume, which this machine and Databricks can both "
                "reach. Use --workspace /Volumes/CATALOG/SCHEMA/VOLUME/irbis; tables.schema is for the tables."
            )
        images = settings.get("sources.images")
        if images and "://" not in images and not images.startswith(("/Volumes/", "/dbfs/", "/Workspace/")):
            faults.append(
                f"sources.images = {images} is a folder on this machine. Upload it with `irbis upload {images} "
                "az://ACCOUNT/CONTAINER/PREFIX` and use that address for --images, or one in /Volumes/."
            )
        return faults

    def upload_file(self, file: Path, workspace: str) -> str:
        from databricks.sdk.errors import NotFound

        content = file.read_bytes()
        address = f"{content_addressed_dir(content, workspace)}/{file.name}"
        with translate_errors():
            try:
                if self._client.files.get_metadata(address).content_length == len(content):
                    return address
            except NotFound:
                pass
        self.write(address, content)
        return address

    def submit(self, job: RunRequest, workspace: str) -> Handle:
        from databricks.sdk.service.jobs import SubmitTask

        with translate_errors():
            if job.existing:
                number, parameters = self._find_job(job.existing)
                words = [*parameters, *job_arguments(job)]
                workspace = _find_workspace(words)
                run = self._client.jobs.run_now(number, idempotency_token=job.id, python_params=words).run_id
            else:
                build_task = self._notebook_task if job.notebook else self._task
                task = SubmitTask.from_dict(build_task(job, workspace))
                name = f"irbis {job.id}"
                run = self._client.jobs.submit(run_name=name, tasks=[task], idempotency_token=job.id).run_id
        handle = {"run_id": run, "host": self._client.config.host, "workspace": workspace}
        return {**handle, "notebook": job.notebook.stem} if job.notebook else handle

    def find(self, identifier: str) -> Handle | None:
        with translate_errors():
            for i, run in enumerate(self._client.jobs.list_runs()):
                if run.run_name == f"irbis {identifier}":
                    return {"run_id": run.run_id, "host": self._client.config.host, "workspace": None}
                if i >= SEARCH_LIMIT:
                    break
        return None

    def get_status(self, handle: Handle) -> RunStatus:
        with translate_errors():
            run = self._client.jobs.get_run(self._run_id(handle))
        state, word = map_state(run.state)
        tasks = {task.task_key: map_state(task.state)[1] for task in run.tasks or ()}
        detail = (run.state.state_message or "" if run.state else "").strip()
        ended = datetime.fromtimestamp(run.end_time / 1000, timezone.utc) if run.end_time else None
        page, message = run.run_page_url or "", f"{word}: {detail}" if detail else word
        return RunStatus(state, message, tasks, page, ended.isoformat(timespec="seconds") if ended else None)

    def failure_reason(self, handle: Handle) -> str:
        with translate_errors():
            tasks = self._client.jobs.get_run(self._run_id(handle)).tasks or ()
            failed = [task for task in tasks if map_state(task.state)[0] == FAILED and task.run_id]
            outputs = [(task.task_key, self._client.jobs.get_run_output(task.run_id or 0)) for task in failed]
        return "\n".join(f"{key}: {output.error}" for key, output in outputs if output.error)

    def fetch_artifacts(self, handle: Handle) -> Mapping[str, bytes]:
        """Return the executed notebook as an HTML page."""
        if not handle.get("notebook"):
            return {}
        with translate_errors():
            tasks = self._client.jobs.get_run(self._run_id(handle)).tasks or ()
            views = [view for task in tasks for view in self._client.jobs.export_run(task.run_id or 0).views or ()]
        return {f"{handle['notebook']}.html": (view.content or "").encode() for view in views[:1]}

    def cancel(self, handle: Handle) -> None:
        with translate_errors():
            self._client.jobs.cancel_run(self._run_id(handle))

    def files(self, folder: str) -> list[tuple[str, int]]:
        from databricks.sdk.errors import NotFound

        files = []
        with translate_errors():
            try:
                for entry in self._client.files.list_directory_contents(folder):
                    name = (entry.path or "").rstrip("/").rpartition("/")[2]
                    if entry.is_directory:
                        files += [(f"{name}/{below}", size) for below, size in self.files(f"{folder}/{name}")]
                    else:
                        files.append((name, entry.file_size or 0))
            except NotFound:
                return []
        return sorted(files)

    def read(self, address: str, start: int = 0) -> bytes:
        with translate_errors():
            content = self._client.files.download(address).contents  # the SDK requests no ranges
            return content.read()[start:] if content else b""

    def write(self, address: str, content: bytes) -> None:
        with translate_errors():
            self._client.files.create_directory(address.rpartition("/")[0])
            self._client.files.upload(address, io.BytesIO(content), overwrite=True)

    def _task(self, job: RunRequest, workspace: str) -> Tree:
        """Return the single task of a one-time run: the job script of the command, with its arguments."""
        python = {"python_file": self.upload_file(job_script(job), workspace), "parameters": job_arguments(job)}
        compute = self._cluster_and_libraries(job.words[0], workspace)
        if job.needs_lightgbm:
            compute["libraries"] += [
                {"maven": {"coordinates": SYNAPSEML}},
                {"pypi": {"package": SYNAPSEML_PYTHON}},
            ]
        return {"task_key": job.words[0], "spark_python_task": python, **compute}

    def _notebook_task(self, job: RunRequest, workspace: str) -> Tree:
        """Import the notebook into the user's home folder and return the task that runs it."""
        from databricks.sdk.service.workspace import ImportFormat

        assert job.notebook is not None
        folder = f"/Users/{self._client.current_user.me().user_name}/irbis"
        content = base64.b64encode(job.notebook.read_bytes()).decode()
        self._client.workspace.mkdirs(folder)
        self._client.workspace.import_(f"{folder}/{job.id}", content=content, format=ImportFormat.JUPYTER)
        task = {"notebook_path": f"{folder}/{job.id}", "base_parameters": {k: str(v) for k, v in job.settings.items()}}
        return {"task_key": "notebook", "notebook_task": task, **self._cluster_and_libraries("run", workspace)}

    def _cluster_and_libraries(self, word: str, workspace: str) -> Tree:
        """Return the cluster and libraries of a task, with the wheel of this code first."""
        with tempfile.TemporaryDirectory() as folder:
            wheel = self.upload_file(build_wheel(Path(folder)), workspace)
        cluster, libraries = self._cluster(word)
        return {"libraries": [{"whl": wheel}, *libraries], **cluster}

    def _cluster(self, word: str) -> tuple[Tree, list[Tree]]:
        """Return the cluster and libraries of a one-time run: those of the bundle's task of that name.

        `run`, all stages in one task, gets the GPU cluster and the libraries of training.
        """
        if self._settings.cluster_id:
            return {"existing_cluster_id": self._settings.cluster_id}, []
        jobs = render(self._settings.target)["resources"]["jobs"].values()
        clusters = {each["job_cluster_key"]: each["new_cluster"] for job in jobs for each in job["job_clusters"]}
        tasks = {task["task_key"]: task for job in jobs for task in job["tasks"]}
        task = tasks["train" if word == "run" else word]
        libraries = [library for library in task.get("libraries", []) if "whl" not in library]
        return {"new_cluster": clusters["gpu" if word == "run" else task["job_cluster_key"]]}, libraries

    def _find_job(self, name: str) -> tuple[int, list[str]]:
        """Return the id of a deployed job and the parameters shared by all its tasks."""
        jobs = [job for job in self._client.jobs.list(name=name, expand_tasks=True) if job.job_id]
        if len(jobs) != 1:
            raise DataError(
                f"--job {name}: {len(jobs) or 'no'} deployed jobs have this name in {self._client.config.host}. "
                "Run `databricks bundle deploy`; `databricks jobs list` shows the names."
            )
        tasks = (jobs[0].settings.tasks if jobs[0].settings else None) or []
        words = [task.spark_python_task.parameters or [] for task in tasks if task.spark_python_task]
        if not words or any(each != words[0] for each in words):
            raise DataError(
                f"--job {name}: its tasks have different parameters, so no common settings can be added. "
                "Submit a stage or `run` without --job."
            )
        return int(jobs[0].job_id or 0), words[0]

    def _run_id(self, handle: Handle) -> int:
        here = self._client.config.host
        if handle["host"] != here:
            raise PlatformError(
                f"The run is in {handle['host']}, but the current login is for {here}. Choose another profile: "
                "--set databricks.profile=NAME."
            )
        return int(handle["run_id"])


def _find_workspace(words: Sequence[str]) -> str:
    """Return the workspace that a job's arguments name, the last one winning."""
    workspaces = [word for option, word in pairwise(words) if option == "--workspace"]
    workspaces += [word.partition("=")[2] for word in words if word.startswith("workspace=")]
    if not workspaces:
        raise DataError(
            "The deployed job has no --workspace. Add it: --workspace /Volumes/CATALOG/SCHEMA/VOLUME/irbis."
        )
    return workspaces[-1].rstrip("/")

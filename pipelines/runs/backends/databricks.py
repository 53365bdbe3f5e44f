"""Databricks: one-time runs and runs of deployed jobs by its SDK; files lie in a volume of Unity Catalog."""

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
from pipelines.databricks.bundle import Tree, render_jobs
from pipelines.errors import DataError, PlatformError
from pipelines.runs.backends.base import Handle, RunRequest, RunStatus, WorkspaceFiles
from pipelines.runs.backends.databricks_errors import map_state, translate_errors
from pipelines.runs.backends.shared_workspace import content_addressed_dir, job_arguments, job_script
from pipelines.runs.history import FAILED
from pipelines.runs.package import build_wheel

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

VOLUME = re.compile(r"/Volumes/[^/]+/[^/]+/[^/]+")
RETRY_SECONDS = 60
SEARCH_LIMIT = 200  # latest runs, where one is looked for by its name


def create(name: str, settings: Settings, files: WorkspaceFiles | None) -> DatabricksBackend:
    return DatabricksBackend(settings)


class DatabricksBackend:
    """Speak to the workspace that the databricks command line is logged in to."""

    def __init__(self, settings: Settings):
        self._settings = settings.databricks

    @cached_property
    def _client(self) -> WorkspaceClient:
        from databricks.sdk import WorkspaceClient
        from databricks.sdk.config import Config

        logging.getLogger("databricks.sdk").setLevel(logging.ERROR)  # it warns of what it can do without
        try:
            # The SDK tries again for so long without a word; whoever follows a run wants to be told, and goes on then.
            return WorkspaceClient(config=Config(profile=self._settings.profile, retry_timeout_seconds=RETRY_SECONDS))
        except ValueError as error:  # so the SDK says that it knows of no workspace, or not who we are
            reason = str(error).splitlines()[0].rstrip(".")
            raise PlatformError(
                f"No way into Databricks ({reason}). `databricks auth login --host https://...`, or set "
                "DATABRICKS_HOST and DATABRICKS_TOKEN."
            ) from error

    def validate(self, settings: Mapping[str, Any]) -> list[str]:
        found, workspace = [], settings["workspace"]
        if not VOLUME.match(workspace):
            found.append(
                f"workspace = {workspace} is not in a volume, where this machine and Databricks meet. "
                "Give --workspace /Volumes/CATALOG/SCHEMA/VOLUME/irbis (tables.schema says where the tables go)."
            )
        images = settings.get("sources.images")
        if images and "://" not in images and not images.startswith(("/Volumes/", "/dbfs/", "/Workspace/")):
            found.append(
                f"sources.images = {images} is a folder of this machine. Send it with `irbis upload {images} "
                "az://ACCOUNT/CONTAINER/PREFIX` and give --images that address, or one in /Volumes/."
            )
        return found

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
                number, own = self._find_job(job.existing)
                words = [*own, *job_arguments(job)]
                workspace = _find_workspace(words)
                run = self._client.jobs.run_now(number, idempotency_token=job.id, python_params=words).run_id
            else:
                shape = self._notebook_task if job.notebook else self._task
                task = SubmitTask.from_dict(shape(job, workspace))
                name = f"irbis {job.id}"
                run = self._client.jobs.submit(run_name=name, tasks=[task], idempotency_token=job.id).run_id
        known = {"run_id": run, "host": self._client.config.host, "workspace": workspace}
        return {**known, "notebook": job.notebook.stem} if job.notebook else known

    def find(self, identifier: str) -> Handle | None:
        with translate_errors():
            for seen, run in enumerate(self._client.jobs.list_runs()):
                if run.run_name == f"irbis {identifier}":
                    return {"run_id": run.run_id, "host": self._client.config.host, "workspace": None}
                if seen >= SEARCH_LIMIT:
                    break
        return None

    def progress(self, handle: Handle) -> RunStatus:
        with translate_errors():
            run = self._client.jobs.get_run(self._run_id(handle))
        state, word = map_state(run.state)
        tasks = {task.task_key: map_state(task.state)[1] for task in run.tasks or ()}
        detail = (run.state.state_message or "" if run.state else "").strip()
        ended = datetime.fromtimestamp(run.end_time / 1000, timezone.utc) if run.end_time else None
        page, said = run.run_page_url or "", f"{word}: {detail}" if detail else word
        return RunStatus(state, said, tasks, page, ended.isoformat(timespec="seconds") if ended else None)

    def failure_reason(self, handle: Handle) -> str:
        with translate_errors():
            tasks = self._client.jobs.get_run(self._run_id(handle)).tasks or ()
            failed = [task for task in tasks if map_state(task.state)[0] == FAILED and task.run_id]
            outputs = [(task.task_key, self._client.jobs.get_run_output(task.run_id or 0)) for task in failed]
        return "\n".join(f"{key}: {output.error}" for key, output in outputs if output.error)

    def fetch_artifacts(self, handle: Handle) -> Mapping[str, bytes]:
        """Give the notebook as it was executed, as a page."""
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

        found = []
        with translate_errors():
            try:
                for entry in self._client.files.list_directory_contents(folder):
                    name = (entry.path or "").rstrip("/").rpartition("/")[2]
                    if entry.is_directory:
                        found += [(f"{name}/{below}", size) for below, size in self.files(f"{folder}/{name}")]
                    else:
                        found.append((name, entry.file_size or 0))
            except NotFound:
                return []
        return sorted(found)

    def read(self, address: str) -> bytes:
        with translate_errors():
            content = self._client.files.download(address).contents
            return content.read() if content else b""

    def write(self, address: str, content: bytes) -> None:
        with translate_errors():
            self._client.files.create_directory(address.rpartition("/")[0])
            self._client.files.upload(address, io.BytesIO(content), overwrite=True)

    def _task(self, job: RunRequest, workspace: str) -> Tree:
        """Give the one task of a one-time run: the job file of the command, with its words."""
        told = {"python_file": self.upload_file(job_script(job), workspace), "parameters": job_arguments(job)}
        around = self._cluster_and_libraries(job.words[0], workspace)
        if job.needs_lightgbm:
            around["libraries"] += [
                {"maven": {"coordinates": SYNAPSEML}},
                {"pypi": {"package": SYNAPSEML_PYTHON}},
            ]
        return {"task_key": job.words[0], "spark_python_task": told, **around}

    def _notebook_task(self, job: RunRequest, workspace: str) -> Tree:
        """Give the task of a notebook, which is put into the home of whoever sends it."""
        from databricks.sdk.service.workspace import ImportFormat

        assert job.notebook is not None
        folder = f"/Users/{self._client.current_user.me().user_name}/irbis"
        content = base64.b64encode(job.notebook.read_bytes()).decode()
        self._client.workspace.mkdirs(folder)
        self._client.workspace.import_(f"{folder}/{job.id}", content=content, format=ImportFormat.JUPYTER)
        told = {"notebook_path": f"{folder}/{job.id}", "base_parameters": {k: str(v) for k, v in job.settings.items()}}
        return {"task_key": "notebook", "notebook_task": told, **self._cluster_and_libraries("run", workspace)}

    def _cluster_and_libraries(self, word: str, workspace: str) -> Tree:
        """Give the cluster of a task and its libraries, this code first."""
        with tempfile.TemporaryDirectory() as folder:
            wheel = self.upload_file(build_wheel(Path(folder)), workspace)
        cluster, libraries = self._cluster(word)
        return {"libraries": [{"whl": wheel}, *libraries], **cluster}

    def _cluster(self, word: str) -> tuple[Tree, list[Tree]]:
        """Give the cluster of a one-time run and its libraries: those of the bundle's task of that name.

        All stages in one task are where the GPUs are, with the libraries of training.
        """
        if self._settings.cluster_id:
            return {"existing_cluster_id": self._settings.cluster_id}, []
        found = render_jobs(self._settings.target).values()
        clusters = {each["job_cluster_key"]: each["new_cluster"] for job in found for each in job["job_clusters"]}
        tasks = {task["task_key"]: task for job in found for task in job["tasks"]}
        task = tasks["train" if word == "run" else word]
        libraries = [library for library in task.get("libraries", []) if "whl" not in library]
        return {"new_cluster": clusters["gpu" if word == "run" else task["job_cluster_key"]]}, libraries

    def _find_job(self, name: str) -> tuple[int, list[str]]:
        """Give the number of a deployed job and the words that all its tasks are given."""
        found = [job for job in self._client.jobs.list(name=name, expand_tasks=True) if job.job_id]
        if len(found) != 1:
            raise DataError(
                f"--job {name}: {len(found) or 'no'} deployed jobs bear this name in {self._client.config.host}. "
                "`databricks bundle deploy`, then `databricks jobs list` shows their names."
            )
        tasks = (found[0].settings.tasks if found[0].settings else None) or []
        words = [task.spark_python_task.parameters or [] for task in tasks if task.spark_python_task]
        if not words or any(each != words[0] for each in words):
            raise DataError(f"--job {name}: its tasks are not given the same words each, so none can be added for all.")
        return int(found[0].job_id or 0), words[0]

    def _run_id(self, handle: Handle) -> int:
        here = self._client.config.host
        if handle["host"] != here:
            raise PlatformError(
                f"The run is in {handle['host']}, but the login in use is for {here}. Choose another: "
                "--set databricks.profile=NAME."
            )
        return int(handle["run_id"])


def _find_workspace(words: Sequence[str]) -> str:
    """Give the workspace that a job's words name, the last one winning."""
    named = [word for option, word in pairwise(words) if option == "--workspace"]
    named += [word.partition("=")[2] for word in words if word.startswith("workspace=")]
    if not named:
        raise DataError(
            "The deployed job names no --workspace. Give it: --workspace /Volumes/CATALOG/SCHEMA/VOLUME/irbis."
        )
    return named[-1].rstrip("/")

"""Databricks: one-time runs and runs of deployed jobs by its SDK; files lie in a volume of Unity Catalog."""

from __future__ import annotations

import hashlib
import io
import logging
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import AccessError, DataError, PlatformError
from pipelines.platform.ledger import FAILED, RUNNING, SENDING, STOPPED, SUCCEEDED
from pipelines.platform.parcel import as_words, build_wheel
from pipelines.platform.targets.target import ConnectionLost, Handle, Job, Progress
from pipelines.settings import Settings
from pipelines.shipped import shipped

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

VOLUME = re.compile(r"/Volumes/[^/]+/[^/]+/[^/]+")
SENT = "sent"  # folder of the workspace for what came from laptops
RETRY_SECONDS = 60
LOOKED_THROUGH = 200  # latest runs, where one is looked for by its name
_STATES = {"QUEUED": SENDING, "PENDING": SENDING, "BLOCKED": SENDING, "WAITING_FOR_RETRY": SENDING}
_RESULTS = {"SUCCESS": SUCCEEDED, "SUCCESS_WITH_FAILURES": SUCCEEDED, "CANCELED": STOPPED, "UPSTREAM_CANCELED": STOPPED}
_OVER = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")


def connect(settings: Settings) -> Databricks:
    return Databricks(settings)


class Databricks:
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

    def faults(self, settings: Mapping[str, Any], workspace: str) -> list[str]:
        found = []
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

    def put(self, file: Path, workspace: str) -> str:
        from databricks.sdk.errors import NotFound

        content = file.read_bytes()
        address = f"{workspace}/{SENT}/{hashlib.sha256(content).hexdigest()[:16]}/{file.name}"
        with _told():
            try:
                if self._client.files.get_metadata(address).content_length == len(content):
                    return address
            except NotFound:
                pass
            self._client.files.create_directory(address.rpartition("/")[0])
            self._client.files.upload(address, io.BytesIO(content), overwrite=True)
        return address

    def submit(self, job: Job, workspace: str) -> Handle:
        from databricks.sdk.service.jobs import SubmitTask

        words = as_words({**job.settings, "runs.id": job.id})
        run: Any
        with _told():
            if job.existing:
                number = self._number_of(job.existing)
                run = self._client.jobs.run_now(number, idempotency_token=job.id, python_params=words).response
            else:
                task = SubmitTask.from_dict(self._task(job, words, workspace))
                name = f"irbis {job.id}"
                run = self._client.jobs.submit(run_name=name, tasks=[task], idempotency_token=job.id).response
        return {"run_id": run.run_id, "host": self._client.config.host}

    def find(self, identifier: str) -> Handle | None:
        with _told():
            for seen, run in enumerate(self._client.jobs.list_runs()):
                if run.run_name == f"irbis {identifier}":
                    return {"run_id": run.run_id, "host": self._client.config.host}
                if seen >= LOOKED_THROUGH:
                    break
        return None

    def progress(self, handle: Handle) -> Progress:
        with _told():
            run = self._client.jobs.get_run(self._run_id(handle))
        state, word = _state(run.state)
        tasks = {task.task_key: _state(task.state)[1] for task in run.tasks or ()}
        detail = (run.state.state_message or "" if run.state else "").strip()
        ended = datetime.fromtimestamp(run.end_time / 1000, timezone.utc) if run.end_time else None
        page, said = run.run_page_url or "", f"{word}: {detail}" if detail else word
        return Progress(state, said, tasks, page, ended.isoformat(timespec="seconds") if ended else None)

    def failure(self, handle: Handle) -> str:
        with _told():
            tasks = self._client.jobs.get_run(self._run_id(handle)).tasks or ()
            failed = [task for task in tasks if _state(task.state)[0] == FAILED and task.run_id]
            outputs = [(task.task_key, self._client.jobs.get_run_output(task.run_id or 0)) for task in failed]
        return "\n".join(f"{key}: {output.error}" for key, output in outputs if output.error)

    def cancel(self, handle: Handle) -> None:
        with _told():
            self._client.jobs.cancel_run(self._run_id(handle))

    def files(self, folder: str) -> list[tuple[str, int]]:
        from databricks.sdk.errors import NotFound

        found = []
        with _told():
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
        with _told():
            content = self._client.files.download(address).contents
            return content.read() if content else b""

    def _task(self, job: Job, words: list[str], workspace: str) -> dict[str, Any]:
        """Give the one task of a one-time run: the job file of the command, the wheel beside it."""
        script = self.put(shipped("jobs") / f"{job.words[0]}.py", workspace)
        with tempfile.TemporaryDirectory() as folder:
            wheel = self.put(build_wheel(Path(folder)), workspace)
        return {
            "task_key": job.words[0],
            "spark_python_task": {"python_file": script, "parameters": [*job.words[1:], *words]},
            "libraries": [{"whl": wheel}],
            **self._cluster(job.words[0]),
        }

    def _cluster(self, word: str) -> dict[str, Any]:
        if self._settings.cluster_id:
            return {"existing_cluster_id": self._settings.cluster_id}
        from pipelines.platform.bundle import jobs  # read only where a cluster is made

        key = "gpu" if word in ("run", "featurize") else "cpu"
        clusters = [each for job in jobs(self._settings.target).values() for each in job.get("job_clusters", [])]
        return {"new_cluster": next(each["new_cluster"] for each in clusters if each["job_cluster_key"] == key)}

    def _number_of(self, name: str) -> int:
        found = [job for job in self._client.jobs.list(name=name) if job.job_id]
        if len(found) != 1:
            raise DataError(
                f"--job {name}: {len(found) or 'no'} deployed jobs bear this name in {self._client.config.host}. "
                "`databricks bundle deploy`, then `databricks jobs list` shows their names."
            )
        return int(found[0].job_id or 0)

    def _run_id(self, handle: Handle) -> int:
        here = self._client.config.host
        if handle["host"] != here:
            raise PlatformError(
                f"The run is in {handle['host']}, but the login in use is for {here}. Choose another: "
                "--set databricks.profile=NAME."
            )
        return int(handle["run_id"])


def _state(found: Any) -> tuple[str, str]:
    """Give the ledger's state and Databricks' own word for it."""
    life = found.life_cycle_state.value if found and found.life_cycle_state else "PENDING"
    if life not in _OVER:
        return _STATES.get(life, RUNNING), life
    result = found.result_state.value if found.result_state else life
    return _RESULTS.get(result, FAILED), result


@contextmanager
def _told() -> Iterator[None]:
    """Say in our words what the SDK raises, once its own attempts are used up."""
    import requests
    from databricks.sdk import errors

    try:
        yield
    except (errors.Unauthenticated, errors.PermissionDenied) as error:
        raise AccessError(
            f"Databricks refuses: {_first_line(error)}. A new login: `databricks auth login`, or another "
            "DATABRICKS_TOKEN; runs that were started go on meanwhile."
        ) from error
    except (errors.TooManyRequests, errors.InternalError, errors.TemporarilyUnavailable, TimeoutError) as error:
        raise ConnectionLost(f"Databricks does not answer as it should: {_first_line(error)}.") from error
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        raise ConnectionLost(f"The connection to Databricks broke: {_first_line(error)}.") from error
    except errors.DatabricksError as error:
        raise AccessError(f"Databricks answers: {_first_line(error)}.") from error


def _first_line(error: BaseException) -> str:
    lines = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300].rstrip(".")

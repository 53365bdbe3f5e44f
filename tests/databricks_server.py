"""A Databricks workspace on this machine: its jobs, files and notebooks, and a cluster that truly runs its tasks.

What the real SDK says to it is answered as a workspace answers; a spark_python_task runs under spark-submit, a notebook
by papermill, the wheel of its libraries on the path. /Volumes lies in a folder, and what a task is told of /Volumes is
told of that folder.
"""

from __future__ import annotations

import base64
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .serving import Quiet, Server, serving

TOKEN = "dapi-of-the-tests"


@dataclass
class Run:
    """Hold a run as the Jobs API tells of it."""

    id: int
    name: str
    tasks: list[dict[str, Any]]
    started: float = field(default_factory=time.time)
    ended: float | None = None
    life: str = "PENDING"
    result: str | None = None
    is_cancelled: bool = False
    process: subprocess.Popen[str] | None = None
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)

    def told(self, address: str) -> dict[str, Any]:
        state = {"life_cycle_state": self.life, "state_message": ""}
        if self.result:
            state["result_state"] = self.result
        tasks = [
            {"task_key": task["task_key"], "run_id": self.id * 1000 + number, "state": task.get("state", state)}
            for number, task in enumerate(self.tasks)
        ]
        times = {"start_time": int(self.started * 1000), **({"end_time": int(self.ended * 1000)} if self.ended else {})}
        page = f"{address}/#job/run/{self.id}"
        return {"run_id": self.id, "run_name": self.name, "state": state, "tasks": tasks, "run_page_url": page, **times}


class Workspace(Server):
    """Answer as a workspace does, or misbehave.

    `faults` are (method and start of the path, what to do) for the next calls that fit: a status with headers, or
    "drop", which cuts the line, or "drop after", which cuts it once the call was obeyed. `calls` holds every call.
    Where it `is_idle`, runs are started, but nothing works at them.
    """

    def __init__(self, root: Path, port: int = 0):
        super().__init__(_Handler, port)
        self.root, self.address = root, f"http://127.0.0.1:{self.server_port}"
        self.runs: dict[int, Run] = {}
        self.jobs: dict[int, dict[str, Any]] = {}
        self.by_token: dict[str, int] = {}
        self.faults: list[tuple[str, Any]] = []
        self.calls: list[str] = []
        self.notebooks: dict[str, bytes] = {}
        self.is_idle = False
        self.token, self.guard = TOKEN, threading.RLock()

    @property
    def login(self) -> dict[str, str]:
        """The variables by which the SDK enters."""
        return {"DATABRICKS_HOST": self.address, "DATABRICKS_TOKEN": TOKEN, "DATABRICKS_CONFIG_FILE": os.devnull}

    def place(self, path: str) -> Path:
        """Give the file that a path in /Volumes stands for."""
        assert path.startswith("/Volumes/") and ".." not in path, path
        return self.root / path.lstrip("/")

    def start(self, name: str, tasks: list[dict[str, Any]], token: str | None) -> Run:
        """Start a run, unless one with the same token was."""
        with self.guard:
            if token in self.by_token:
                return self.runs[self.by_token[token]]
            run = Run(len(self.runs) + 1, name, tasks)
            self.runs[run.id] = run
            if token:
                self.by_token[token] = run.id
        if not self.is_idle:
            threading.Thread(target=self._work, args=(run,), daemon=True).start()
        return run

    def cancel(self, run: Run) -> None:
        run.is_cancelled = True
        if run.process and run.process.poll() is None:
            os.killpg(run.process.pid, signal.SIGKILL)  # as a cluster that is taken away

    def server_close(self) -> None:
        for run in self.runs.values():
            self.cancel(run)
        super().server_close()

    def _work(self, run: Run) -> None:
        run.life, result = "RUNNING", "SUCCESS"
        for task in run.tasks:
            if result == "SUCCESS":
                task["state"] = {"life_cycle_state": "RUNNING"}
                result = self._do(run, task)
            else:
                result = "FAILED" if result != "CANCELED" else result
            task["state"] = {"life_cycle_state": "TERMINATED", "result_state": result}
        run.ended, run.result = time.time(), result
        run.life = "TERMINATED"

    def _do(self, run: Run, task: dict[str, Any]) -> str:
        """Run a task; give its result."""
        folder = self.root / "driver" / f"{run.id}-{task['task_key']}"
        folder.mkdir(parents=True)
        for library in task.get("libraries", []):
            with zipfile.ZipFile(self.place(library["whl"])) as wheel:
                wheel.extractall(folder / "site-packages")
        command = self._notebook(task, folder) if "notebook_task" in task else self._script(task)
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("IRBIS", "DATABRICKS"))
        }
        environment |= {"PYTHONPATH": str(folder / "site-packages"), "PYSPARK_PYTHON": sys.executable}
        run.process = subprocess.Popen(
            command, cwd=folder, env={**environment, "PYSPARK_DRIVER_PYTHON": sys.executable}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        said, _ = run.process.communicate()
        if run.is_cancelled:
            return "CANCELED"
        error = {"error": f"SystemExit: {run.process.returncode}"} if run.process.returncode else {}
        run.outputs[task["task_key"]] = {"logs": said[-5_000_000:], **error}
        return "FAILED" if error else "SUCCESS"

    def _script(self, task: dict[str, Any]) -> list[str]:
        told = task["spark_python_task"]
        words = [word.replace("/Volumes/", f"{self.root}/Volumes/") for word in told.get("parameters", [])]
        return [*spark_submit(), str(self.place(told["python_file"])), *words]

    def _notebook(self, task: dict[str, Any], folder: Path) -> list[str]:
        """Give the command that runs a notebook; the cluster's widgets are Jupyter's parameters here."""
        told = task["notebook_task"]
        source, task["executed"] = folder / "notebook.ipynb", str(folder / "executed.ipynb")
        source.write_bytes(self.notebooks[told["notebook_path"]])
        given = {k: v.replace("/Volumes/", f"{self.root}/Volumes/") for k, v in told["base_parameters"].items()}
        words = [word for key, value in given.items() for word in ("-p", key, value)]
        return [sys.executable, "-m", "papermill", "-k", "python3", *words, str(source), task["executed"]]


def databricks_workspace(*args: Any) -> AbstractContextManager[Workspace]:
    """Run a workspace while the block runs."""
    return serving(Workspace(*args))


def spark_submit() -> list[str]:
    """Give the command that runs a job as a cluster with Delta does."""
    import pyspark

    from pipelines.platform.session import DELTA

    version = importlib.metadata.version("delta-spark")
    name = "delta-spark" if version >= "3" else "delta-core"
    command = [str(Path(pyspark.__file__).parent / "bin" / "spark-submit"), "--master", "local[2]"]
    command += ["--packages", f"io.delta:{name}_2.12:{version}", "--driver-memory", "2g"]
    conf = {**DELTA, "spark.ui.enabled": "false", "spark.sql.shuffle.partitions": 2, "spark.default.parallelism": 2,
            "spark.databricks.delta.snapshotPartitions": 1}  # fmt: skip
    return command + [word for key, value in conf.items() for word in ("--conf", f"{key}={value}")]


class _Handler(Quiet):
    protocol_version = "HTTP/1.1"
    server: Workspace

    def _serve(self) -> None:
        address = urlsplit(self.path)
        path, asked = unquote(address.path), {k: v[0] for k, v in parse_qs(address.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        call = f"{self.command} {path}"
        with self.server.guard:
            self.server.calls.append(call)
            hit = next((fault for fault in self.server.faults if call.startswith(fault[0])), None)
            if hit:
                self.server.faults.remove(hit)
        if hit and hit[1] == "drop":
            self.close_connection = True
            return
        if hit and hit[1] != "drop after":
            status, headers = hit[1]
            return self._answer(status, {"error_code": "FAULT", "message": f"fault {status}"}, headers)
        if path == "/.well-known/databricks-config":
            return self._answer(200, {"workspace_id": "1", "oidc_endpoint": f"{self.server.address}/oidc"})
        if not path.startswith("/api/"):
            return self._answer(404, {"message": "no such page"})
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            return self._answer(403, {"error_code": "PERMISSION_DENIED", "message": "Invalid access token."})
        _, _, name = path.removeprefix("/api/").partition("/")
        answer = getattr(self, "_" + "_".join([self.command.lower(), *name.split("/")[:3]]).replace("-", "_"), None)
        answer = answer or getattr(self, "_" + "_".join([self.command.lower(), *name.split("/")[:2]]), None)
        if answer is None:
            return self._answer(404, {"error_code": "ENDPOINT_NOT_FOUND", "message": f"no {call}"})
        given = answer("/" + "/".join(name.split("/")[2:]), asked, body)
        if hit:  # it was done, but nobody hears of it
            self.close_connection = True
            return
        self._answer(*given) if isinstance(given, tuple) else self._answer(200, given)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _serve

    def _answer(self, status: int, found: Any, headers: dict[str, str] | None = None) -> None:
        content = found if isinstance(found, bytes) else json.dumps(found).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(found, bytes) else "application/json"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _post_jobs_runs_submit(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        told = json.loads(body)
        return {"run_id": self.server.start(told["run_name"], told["tasks"], told.get("idempotency_token")).id}

    def _post_jobs_create(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        number = len(self.server.jobs) + 1
        self.server.jobs[number] = json.loads(body)
        return {"job_id": number}

    def _get_jobs_list(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        fits = [(n, job) for n, job in self.server.jobs.items() if asked.get("name") in (None, job["name"])]
        return {"jobs": [{"job_id": number, "settings": job} for number, job in fits]}

    def _post_jobs_run_now(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        told = json.loads(body)
        job = self.server.jobs[told["job_id"]]
        tasks = json.loads(json.dumps(job["tasks"]))
        for task in tasks:
            task["spark_python_task"]["parameters"] = told.get("python_params") or []
        return {"run_id": self.server.start(job["name"], tasks, told.get("idempotency_token")).id}

    def _get_jobs_runs_get(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        run = self.server.runs.get(int(asked["run_id"]))
        if run is None:
            return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": f"Run {asked['run_id']} does not exist."}
        return run.told(self.server.address)

    def _get_jobs_runs_get_output(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        number = int(asked["run_id"])
        run = self.server.runs[number // 1000]
        return run.outputs.get(run.tasks[number % 1000]["task_key"], {})

    def _get_jobs_runs_list(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        return {"runs": [run.told(self.server.address) for run in reversed(self.server.runs.values())]}

    def _post_jobs_runs_cancel(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        self.server.cancel(self.server.runs[json.loads(body)["run_id"]])
        return {}

    def _get_jobs_runs_export(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        from nbconvert import HTMLExporter

        number = int(asked["run_id"])
        task = self.server.runs[number // 1000].tasks[number % 1000]
        page, _ = HTMLExporter().from_filename(task["executed"])
        return {"views": [{"content": page, "name": "notebook", "type": "NOTEBOOK"}]}

    def _get_preview_scim_v2(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        return {"id": "1", "userName": "tests@example.org"}

    def _post_workspace_mkdirs(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        return {}

    def _post_workspace_import(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        told = json.loads(body)
        assert told["format"] == "JUPYTER", told["format"]
        self.server.notebooks[told["path"]] = base64.b64decode(told["content"])
        return {}

    def _put_fs_files(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        place = self.server.place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(body)
        return 204, b""

    def _put_fs_directories(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        self.server.place(path).mkdir(parents=True, exist_ok=True)
        return 204, b""

    def _get_fs_files(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        place = self.server.place(path)
        if not place.is_file():
            return 404, {"error_code": "NOT_FOUND", "message": f"The file {path} is not there."}
        return 200, place.read_bytes(), {"Last-Modified": self.date_time_string(int(place.stat().st_mtime))}

    _head_fs_files = _get_fs_files

    def _get_fs_directories(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        place = self.server.place(path)
        if not place.is_dir():
            return 404, {"error_code": "NOT_FOUND", "message": f"The directory {path} is not there."}
        found = [
            {"path": f"{path.rstrip('/')}/{each.name}", "is_directory": each.is_dir(), "file_size": each.stat().st_size}
            for each in sorted(place.iterdir())
        ]
        return {"contents": found}

"""A Databricks workspace on this machine: its jobs, files and notebooks, and a cluster that truly runs its tasks.

What the real SDK says to it is answered as a workspace answers; a spark_python_task runs under spark-submit, a notebook
by papermill, the wheel of its libraries on the path. /Volumes lies in a folder, and what a task is told of /Volumes is
told of that folder.
"""

from __future__ import annotations

import importlib.metadata
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

from .databricks_api import Api
from .http_server import Faulty, serving

TOKEN = "dapi-of-the-tests"


@dataclass
class Run:
    """A run of the Jobs API."""

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


class Workspace(Faulty):
    """Answer as a workspace does, or misbehave: a fault is a status with headers.

    Where it `is_idle`, runs are started, but nothing works at them.
    """

    def __init__(self, root: Path, port: int = 0):
        super().__init__(Api, port)
        self.root, self.address = root, f"http://127.0.0.1:{self.server_port}"
        self.runs: dict[int, Run] = {}
        self.jobs: dict[int, dict[str, Any]] = {}
        self.by_token: dict[str, int] = {}
        self.notebooks: dict[str, bytes] = {}
        self.is_idle = False
        self.token = TOKEN

    @property
    def login(self) -> dict[str, str]:
        """The variables by which the SDK enters."""
        return {"DATABRICKS_HOST": self.address, "DATABRICKS_TOKEN": TOKEN, "DATABRICKS_CONFIG_FILE": os.devnull}

    def place(self, path: str) -> Path:
        """Return the local file of a path in /Volumes."""
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
        """Return the command that runs a notebook; the cluster's widgets are Jupyter's parameters here."""
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
    """Return the command that runs a job as a cluster with Delta does."""
    import pyspark

    from pipelines.spark.session import DELTA_CONF

    version = importlib.metadata.version("delta-spark")
    name = "delta-spark" if version >= "3" else "delta-core"
    command = [str(Path(pyspark.__file__).parent / "bin" / "spark-submit"), "--master", "local[2]"]
    command += ["--packages", f"io.delta:{name}_2.12:{version}", "--driver-memory", "2g"]
    # As irbis starts its own Spark: a short run spends most of its time on compilation otherwise.
    command += ["--driver-java-options", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"]
    conf = {**DELTA_CONF, "spark.ui.enabled": "false", "spark.databricks.delta.snapshotPartitions": 1}
    conf |= {"spark.sql.shuffle.partitions": 2, "spark.default.parallelism": 2}
    return command + [word for key, value in conf.items() for word in ("--conf", f"{key}={value}")]

"""spark-submit backend for any Spark master: a process on this machine that outlives the `irbis` command."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pipelines.config.settings import Settings
from pipelines.errors import AccessError, DataError
from pipelines.processes import Process
from pipelines.runs.backends.base import Handle, RunRequest, RunStatus, WorkspaceFiles
from pipelines.runs.backends.shared_workspace import (
    SharedWorkspaceBackend,
    code_zip,
    job_arguments,
    job_script,
    relevant_log_lines,
    spark_conf_for,
    with_driver_paths,
)
from pipelines.runs.backends.spark_security import (
    SECRETS_FILE,
    delete_secrets,
    is_loopback_master,
    secret_names,
    security_conf,
    write_secrets,
)
from pipelines.runs.history import FAILED, RUNNING, STOPPED, SUCCEEDED
from pipelines.runs.record import parse_json
from pipelines.spark.runtime import spark_home

PATTERN = r"yarn|spark://.+|k8s://.+|local\[.+\]"
EXAMPLES = "a Spark master: yarn, spark://HOST:PORT, k8s://https://HOST:PORT"
# $0 is the run's folder, where the output and the exit code are kept.
WRAPPER_SCRIPT = (
    '"$@" >"$0/output.txt" 2>&1 </dev/null; '
    f'echo $? >"$0/code.part" && rm -f "$0/{SECRETS_FILE}" && mv "$0/code.part" "$0/code"'
)
APPLICATION = re.compile(r"\b(application_\d+_\d+)\b")
DRIVER_POD = re.compile(r"\bpod name: (\S+)")


def create(name: str, settings: Settings, files: WorkspaceFiles | None) -> SparkSubmitBackend:
    assert files is not None, "this backend needs access to the workspace's files"
    return SparkSubmitBackend(name, settings, files)


class SparkSubmitBackend(SharedWorkspaceBackend):
    """Backend that starts spark-submit and tracks it in a folder of the history: process id, output, exit code."""

    def __init__(self, master: str, settings: Settings, files: WorkspaceFiles):
        super().__init__(files)
        self._master, self._conf = master, settings.spark.conf
        self._is_pods = master.startswith("k8s://")
        # Set explicitly even if it is Spark's default, as paths of files depend on it.
        self._mode = str(self._conf.get("spark.submit.deployMode", "cluster" if self._is_pods else "client"))
        self._history_dir = Path(settings.runs.history_dir).expanduser().absolute()

    def validate(self, settings: Mapping[str, Any]) -> list[str]:
        faults = super().validate(settings)
        if self._is_pods and "spark.kubernetes.container.image" not in self._conf:
            faults.append(
                "spark.kubernetes.container.image is not set: the image of driver and executors, with this Spark and "
                "irbis's Python. Use --set spark.conf.spark.kubernetes.container.image=REGISTRY/irbis:VERSION."
            )
        if self._is_pods and self._mode == "cluster":
            faults += [
                f"spark.conf.{name} is a secret, which Spark would store in a readable ConfigMap. Refer to a "
                f"Secret: spark.kubernetes.driver.secretKeyRef.NAME=SECRET:KEY, the same for the executor, and {name}="
                "${env.NAME} (docs/deploy/kubernetes.md)."
                for name in secret_names(self._conf)
            ]
        if not shutil.which(_bin("spark-submit")):
            faults.append(f"There is no {_bin('spark-submit')}. Set SPARK_HOME to the folder of a Spark.")
        return faults

    def upload_file(self, file: Path, workspace: str) -> str:
        """Upload a file to the workspace for a driver in a pod; for other drivers spark-submit distributes it."""
        needs_upload = self._is_pods and self._mode == "cluster"
        return super().upload_file(file, workspace) if needs_upload else str(file.absolute())

    def submit(self, job: RunRequest, workspace: str) -> Handle:
        if job.existing or job.notebook:
            raise DataError(f"--on {self._master} runs stages: it has no deployed jobs, and no notebooks.")
        folder = self._history_dir / job.id
        handle = {"folder": str(folder), "workspace": workspace, "id": job.id}
        if not (folder / "pid").exists():
            folder.mkdir(0o700, parents=True, exist_ok=True)
            process = subprocess.Popen(
                ["/bin/sh", "-c", WRAPPER_SCRIPT, str(folder), *self.command(job, folder, workspace)],
                env=self._environment(),
                start_new_session=True,  # it must survive Ctrl-C and the end of the terminal
            )
            (folder / "pid").write_text(json.dumps(Process.of(process.pid).as_dict()))
        return handle

    def command(self, job: RunRequest, folder: Path, workspace: str) -> list[str]:
        """Return the spark-submit command; copies the code and the job script to the run's folder."""
        conf = spark_conf_for(job, _delta_coordinates(), self._conf)
        conf = {**security_conf(self._master, conf), **conf, "spark.submit.deployMode": self._mode}
        with code_zip() as code:
            copies = [Path(shutil.copy(file, folder)) for file in (code, job_script(job))]
        code_file, script = (self.upload_file(file, workspace) for file in copies)
        secrets = secret_names(conf)
        options = [word for name in conf if name not in secrets for word in ("--conf", f"{name}={conf[name]}")]
        # A driver on this machine, or one that mounts the workspace, reads the files where they are.
        files = [file for file in job.files if self._mode == "cluster" and ("://" in file or not self._is_pods)]
        if ambiguous := [file for file in files if "," in file or "#" in file]:
            raise DataError(f"Spark would split {ambiguous[0]} at its comma or #. Rename the file.")
        if files:
            options += ["--files", ",".join(files)]
        arguments = job_arguments(with_driver_paths(job, files))
        if properties := write_secrets(conf, folder):
            options += ["--properties-file", str(properties)]
        return [_bin("spark-submit"), "--master", self._master, *options, "--py-files", code_file, script, *arguments]

    def find(self, identifier: str) -> Handle | None:
        folder = self._history_dir / identifier
        if not (folder / "pid").exists():
            return None
        return {"folder": str(folder), "workspace": None, "id": identifier}

    def get_status(self, handle: Handle) -> RunStatus:
        folder, record = Path(handle["folder"]), f"{handle['workspace']}/runs/{handle['id']}"
        is_alive = _is_alive(folder)  # checked once, as it may end at any time
        running = RunStatus(RUNNING, tasks={"spark-submit": RUNNING})
        if (folder / "cancelled").exists():
            return running if is_alive else RunStatus(STOPPED, "cancelled")
        if (folder / "code").exists():
            code = int((folder / "code").read_text())
            state = FAILED if code else SUCCEEDED
            return RunStatus(state, f"exit code {code}", {"spark-submit": state})
        if is_alive:
            return running
        delete_secrets(folder)
        # Killed, or ended by a restart of this machine; a driver in the cluster may have completed the run.
        state = self.recorded_state(record) or FAILED
        return RunStatus(state, "spark-submit ended without an exit code, as after a restart of this machine")

    def failure_reason(self, handle: Handle) -> str:
        return relevant_log_lines(_read_output(handle).splitlines())

    def fetch_artifacts(self, handle: Handle) -> Mapping[str, bytes]:
        output = _read_output(handle)
        return {"spark-submit.txt": output.encode()} if output else {}

    def cancel(self, handle: Handle) -> None:
        folder = Path(handle["folder"])
        process = _process(folder)
        if process.unknown_reason:
            raise AccessError(f"{handle['id']} cannot be cancelled from here: {process.unknown_reason}.")
        (folder / "cancelled").touch()
        process.send(signal.SIGTERM, is_group=True)
        delete_secrets(folder)
        self._kill_driver(_read_output(handle))

    def _kill_driver(self, output: str) -> None:
        """Kill a driver in the cluster, which continues when spark-submit ends; `output` is that of spark-submit."""
        if self._mode == "client":
            return
        if self._master == "yarn" and (match := APPLICATION.search(output)):
            command = [_bin("spark-class"), "org.apache.hadoop.yarn.client.cli.ApplicationCLI", "-kill", match[1]]
        elif self._is_pods and (match := DRIVER_POD.search(output)):
            namespace = self._conf.get("spark.kubernetes.namespace", "default")
            command = [_bin("spark-submit"), "--master", self._master, "--kill", f"{namespace}:{match[1]}"]
        else:
            return
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True)
        if done.returncode:
            raise AccessError(f"{match[1]} could not be killed: {(done.stderr.strip().splitlines() or ['?'])[-1]}.")

    def _environment(self) -> dict[str, str]:
        """Return the environment of spark-submit: a supported Java, and this Python for a driver on this machine."""
        from pipelines.spark.java import find_java

        env = {**os.environ, "JAVA_HOME": str(find_java().home)}
        env.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
        if self._master.startswith("local"):
            env.setdefault("PYSPARK_PYTHON", sys.executable)
        if is_loopback_master(self._master):
            env["SPARK_LOCAL_IP"] = "127.0.0.1"  # for all listeners without a setting of their own
        return env


def _bin(name: str) -> str:
    return str(spark_home() / "bin" / name)


def _delta_coordinates() -> str:
    """Return the Maven coordinates of the installed version of Delta."""
    version = importlib.metadata.version("delta-spark")
    return f"io.delta:{'delta-spark' if int(version.split('.')[0]) >= 3 else 'delta-core'}_2.12:{version}"


def _read_output(handle: Handle) -> str:
    file = Path(handle["folder"]) / "output.txt"
    return file.read_text("utf-8", "replace") if file.is_file() else ""


def _process(folder: Path) -> Process:
    """Return the process of spark-submit; earlier versions recorded only its id."""
    content = (folder / "pid").read_bytes()
    process = parse_json(Process, b'{"pid": %s}' % content if content.strip().isdigit() else content, str)
    if isinstance(process, str):
        raise AccessError(f"{folder / 'pid'} {process}.")
    return cast(Process, process)


def _is_alive(folder: Path) -> bool:
    """Return whether spark-submit is running. Raises AccessError if that cannot be determined on this machine."""
    process = _process(folder)
    with contextlib.suppress(ChildProcessError, OverflowError):  # reap it if it is our child and has ended
        os.waitpid(process.pid, os.WNOHANG)
    if not process.is_gone and process.unknown_reason:
        raise AccessError(f"Whether spark-submit is running is unknown: {process.unknown_reason}.")
    return process.is_running

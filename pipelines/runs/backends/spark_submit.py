"""Any Spark master, by spark-submit itself: a process of this machine, which outlives the command that began it."""

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

# The first word is the run's folder. What it leaves there outlives it: what was said, and the exit code.
WRAPPER_SCRIPT = (
    '"$@" >"$0/said.txt" 2>&1 </dev/null; '
    f'echo $? >"$0/code.part" && rm -f "$0/{SECRETS_FILE}" && mv "$0/code.part" "$0/code"'
)
APPLICATION = re.compile(r"\b(application_\d+_\d+)\b")
DRIVER_POD = re.compile(r"\bpod name: (\S+)")


def create(name: str, settings: Settings, files: WorkspaceFiles | None) -> SparkSubmitBackend:
    assert files is not None, "the workspace is reached from outside"
    return SparkSubmitBackend(name, settings, files)


class SparkSubmitBackend(SharedWorkspaceBackend):
    """Start spark-submit, and look after it by its folder beside the ledger: process, words, exit code."""

    def __init__(self, master: str, settings: Settings, files: WorkspaceFiles):
        super().__init__(files)
        self._master, self._conf = master, settings.spark.conf
        self._is_pods = master.startswith("k8s://")
        # Said even where it is Spark's default: files have other names for a driver in the cluster.
        self._mode = str(self._conf.get("spark.submit.deployMode", "cluster" if self._is_pods else "client"))
        self._history_dir = Path(settings.runs.history_dir).expanduser().absolute()

    def validate(self, settings: Mapping[str, Any]) -> list[str]:
        found = super().validate(settings)
        if self._is_pods and "spark.kubernetes.container.image" not in self._conf:
            found.append(
                "spark.kubernetes.container.image is not set: the image that driver and executors run, with this "
                "Spark and our Python. --set spark.conf.spark.kubernetes.container.image=REGISTRY/irbis:VERSION."
            )
        if self._is_pods and self._mode == "cluster":
            found += [
                f"spark.conf.{name} is a secret, which Kubernetes would keep in a ConfigMap, open to read. Refer to a "
                f"Secret: spark.kubernetes.driver.secretKeyRef.NAME=SECRET:KEY, the same of the executor, and {name}="
                "${env.NAME} (docs/deploy/kubernetes.md)."
                for name in secret_names(self._conf)
            ]
        if not shutil.which(_bin("spark-submit")):
            found.append(f"There is no {_bin('spark-submit')}. Set SPARK_HOME to the folder of a Spark.")
        return found

    def upload_file(self, file: Path, workspace: str) -> str:
        """Send a file to where a driver in a pod sees it; for every other driver spark-submit takes it along."""
        is_far = self._is_pods and self._mode == "cluster"
        return super().upload_file(file, workspace) if is_far else str(file.absolute())

    def submit(self, job: RunRequest, workspace: str) -> Handle:
        if job.existing or job.notebook:
            raise DataError(f"--on {self._master} runs stages: it has no deployed jobs, and no notebooks.")
        folder = self._history_dir / job.id
        known = {"folder": str(folder), "workspace": workspace, "id": job.id}
        if not (folder / "pid").exists():
            folder.mkdir(0o700, parents=True, exist_ok=True)
            process = subprocess.Popen(
                ["/bin/sh", "-c", WRAPPER_SCRIPT, str(folder), *self.command(job, folder, workspace)],
                env=self._environment(),
                start_new_session=True,  # neither Ctrl-C nor the end of the terminal is meant for it
            )
            (folder / "pid").write_text(json.dumps(Process.of(process.pid).as_dict()))
        return known

    def command(self, job: RunRequest, folder: Path, workspace: str) -> list[str]:
        """Give spark-submit with all its words; what it sends lies in the run's folder from now on."""
        conf = spark_conf_for(job, _delta_coordinates(), self._conf)
        conf = {**security_conf(self._master, conf), **conf, "spark.submit.deployMode": self._mode}
        with code_zip() as code:
            sent = [Path(shutil.copy(file, folder)) for file in (code, job_script(job))]
        zipped, script = (self.upload_file(file, workspace) for file in sent)
        secret = secret_names(conf)
        told = [word for name in conf if name not in secret for word in ("--conf", f"{name}={conf[name]}")]
        # A driver on this machine, or one that sees the workspace as a folder, reads them where they are.
        files = [file for file in job.files if self._mode == "cluster" and ("://" in file or not self._is_pods)]
        if split := [file for file in files if "," in file or "#" in file]:
            raise DataError(f"Spark takes what follows a comma or # in {split[0]} for another file. Rename it.")
        if files:
            told += ["--files", ",".join(files)]
        words = job_arguments(with_driver_paths(job, files))
        if properties := write_secrets(conf, folder):
            told += ["--properties-file", str(properties)]
        return [_bin("spark-submit"), "--master", self._master, *told, "--py-files", zipped, script, *words]

    def find(self, identifier: str) -> Handle | None:
        folder = self._history_dir / identifier
        if not (folder / "pid").exists():
            return None
        return {"folder": str(folder), "workspace": None, "id": identifier}

    def progress(self, handle: Handle) -> RunStatus:
        folder, record = Path(handle["folder"]), f"{handle['workspace']}/runs/{handle['id']}"
        is_alive = _is_alive(folder)  # asked once: it may end between two looks
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
        # Ended from outside, or with the machine; a driver in the cluster may have gone on.
        state = self.recorded_state(record) or FAILED
        return RunStatus(state, "spark-submit is gone without a word, as after a restart of this machine")

    def failure_reason(self, handle: Handle) -> str:
        return relevant_log_lines(_read_output(handle).splitlines())

    def fetch_artifacts(self, handle: Handle) -> Mapping[str, bytes]:
        said = _read_output(handle)
        return {"spark-submit.txt": said.encode()} if said else {}

    def cancel(self, handle: Handle) -> None:
        folder = Path(handle["folder"])
        process = _process(folder)
        if process.unknown_reason:
            raise AccessError(f"{handle['id']} is not ended from here: {process.unknown_reason}.")
        (folder / "cancelled").touch()
        process.send(signal.SIGTERM, is_group=True)
        delete_secrets(folder)
        self._kill_driver(_read_output(handle))

    def _kill_driver(self, said: str) -> None:
        """End a driver that runs in the cluster, which spark-submit leaves alone when it ends."""
        if self._mode == "client":
            return
        if self._master == "yarn" and (found := APPLICATION.search(said)):
            words = [_bin("spark-class"), "org.apache.hadoop.yarn.client.cli.ApplicationCLI", "-kill", found[1]]
        elif self._is_pods and (found := DRIVER_POD.search(said)):
            space = self._conf.get("spark.kubernetes.namespace", "default")
            words = [_bin("spark-submit"), "--master", self._master, "--kill", f"{space}:{found[1]}"]
        else:
            return
        done = subprocess.run(words, env=self._environment(), capture_output=True, text=True)
        if done.returncode:
            raise AccessError(f"{found[1]} could not be ended: {(done.stderr.strip().splitlines() or ['?'])[-1]}.")

    def _environment(self) -> dict[str, str]:
        """Give the variables of spark-submit: a Java that suits, and this Python for a driver on this machine."""
        from pipelines.spark.java import find_java

        found = {**os.environ, "JAVA_HOME": str(find_java().home)}
        found.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
        if self._master.startswith("local"):
            found.setdefault("PYSPARK_PYTHON", sys.executable)
        if is_loopback_master(self._master):
            found["SPARK_LOCAL_IP"] = "127.0.0.1"  # of all that listens and has no setting of its own
        return found


def _bin(name: str) -> str:
    return str(spark_home() / "bin" / name)


def _delta_coordinates() -> str:
    """Give Delta's Maven name, of the version that is installed here."""
    version = importlib.metadata.version("delta-spark")
    return f"io.delta:{'delta-spark' if int(version.split('.')[0]) >= 3 else 'delta-core'}_2.12:{version}"


def _read_output(handle: Handle) -> str:
    file = Path(handle["folder"]) / "said.txt"
    return file.read_text("utf-8", "replace") if file.is_file() else ""


def _process(folder: Path) -> Process:
    """Return the process of spark-submit; earlier versions noted no more than its number."""
    noted = (folder / "pid").read_bytes()
    found = parse_json(Process, b'{"pid": %s}' % noted if noted.strip().isdigit() else noted, str)
    if isinstance(found, str):
        raise AccessError(f"{folder / 'pid'} {found}.")
    return cast(Process, found)


def _is_alive(folder: Path) -> bool:
    """Return whether spark-submit runs. Raises AccessError where nobody can tell from here."""
    process = _process(folder)
    with contextlib.suppress(ChildProcessError, OverflowError):  # if ours: an ended child stays until it is asked for
        os.waitpid(process.pid, os.WNOHANG)
    if not process.is_gone and process.unknown_reason:
        raise AccessError(f"Whether spark-submit runs is not known: {process.unknown_reason}.")
    return process.is_running

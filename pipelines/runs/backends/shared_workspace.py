"""Base of the backends whose runs share a workspace with this machine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.config.settings import SYNAPSEML
from pipelines.redaction import SECRET_PATTERN
from pipelines.resources import resource_dir
from pipelines.runs.backends.base import ConnectionLost, RunRequest, WorkspaceFiles
from pipelines.runs.history import FAILED, STOPPED, SUCCEEDED, utc_now
from pipelines.runs.package import build_wheel, to_cli_args
from pipelines.runs.record import read_record

UPLOADS_DIR = "sent"  # folder of the workspace for uploaded code and files
CANCELLED = "cancelled.json"  # record of a run that was cancelled and could not write its own
LOG_NOISE = re.compile(r"^\s+at |^\s+\.\.\. \d+ more|\b(INFO|DEBUG|TRACE|WARN)\b|^(stdout|\s*stderr): *$")
LOG_TAIL_LINES = 20  # lines of log reported for a failed run
# A failed run is not attempted again. A run may lose 32 executors, however few it has at a time: Spark's default for
# few executors is 3, too low for preemptible machines. A task that fails four times still ends the run.
YARN_CONF = {"spark.yarn.maxAppAttempts": "1", "spark.yarn.max.executor.failures": "32"}
DELTA_JAR = re.compile(r"delta-(spark|core)_")


class SharedWorkspaceBackend:
    """Base class that uploads files to the workspace and reads the records of runs there."""

    def __init__(self, files: WorkspaceFiles):
        self._files = files

    def validate(self, settings: Mapping[str, Any]) -> list[str]:
        faults, images = self._files.validate(settings["workspace"]), settings.get("sources.images")
        if images and "://" not in images and not images.startswith("/"):
            faults.append(
                f"sources.images = {images} is a folder on this machine. Upload it with `irbis upload {images} "
                "az://ACCOUNT/CONTAINER/PREFIX` and use that address for --images, or the absolute path of a folder "
                "that all nodes can read."
            )
        return faults

    def upload_file(self, file: Path, workspace: str) -> str:
        content = file.read_bytes()
        folder = content_addressed_dir(content, workspace)
        if (file.name, len(content)) not in self.files(folder):
            self.write(f"{folder}/{file.name}", content)
        elif "://" not in folder:
            os.utime(Path(folder, file.name))  # `irbis clean` removes files that are not used any more
        return f"{folder}/{file.name}"

    def files(self, folder: str) -> list[tuple[str, int]]:
        with translate_errors():
            return self._files.files(folder)

    def read(self, address: str, start: int = 0) -> bytes:
        with translate_errors():
            return self._files.read(address, start)

    def write(self, address: str, content: bytes) -> None:
        with translate_errors():
            self._files.write(address, content)

    def mark_cancelled(self, folder: str, job: str) -> None:
        """Write the record of a cancelled run, which may not be able to write its own."""
        record = {
            "id": job,
            "command": ["cancel"],
            "state": STOPPED,
            "started": utc_now(),
            "ended": utc_now(),
            "stages": [],
        }
        self.write(f"{folder}/{CANCELLED}", json.dumps({**record, "error": "", "code": {}}, indent=2).encode())

    def recorded_state(self, folder: str) -> str | None:
        """Return the final state of a run from its own records; None if it has written none."""
        names = [name for name, _ in self.files(folder) if name.endswith(".json") and "/" not in name]
        states = {name: read_record(name, self.read(f"{folder}/{name}")).state for name in names}
        ordered = [states[name] for name in sorted(states, key=lambda name: name == CANCELLED)]
        return next((state for state in ordered if state in (SUCCEEDED, FAILED, STOPPED)), None)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise ConnectionError of the workspace's files as ConnectionLost."""
    try:
        yield
    except ConnectionError as error:
        raise ConnectionLost(str(error)) from error


@contextmanager
def code_zip() -> Iterator[Path]:
    """Yield this code as a zip file for --py-files, which every master accepts; it is deleted after the block."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder) / "wheel")
        name = wheel.name.removesuffix(".whl").removesuffix("-py3-none-any")
        yield Path(shutil.copy(wheel, Path(folder) / f"{name}.zip"))


def relevant_log_lines(lines: Iterable[str]) -> str:
    """Return the last lines of Spark's log without messages below ERROR and Java stack frames."""
    nonempty = [line.rstrip() for line in lines if line.strip()]
    relevant = [line for line in nonempty if not LOG_NOISE.search(line)]
    return "\n".join((relevant or nonempty)[-LOG_TAIL_LINES:])


def content_addressed_dir(content: bytes, workspace: str) -> str:
    """Return the upload folder of a file in the workspace, named by a hash of its content."""
    return f"{workspace}/{UPLOADS_DIR}/{hashlib.sha256(content).hexdigest()[:16]}"


def with_driver_paths(job: RunRequest, addresses: Iterable[str]) -> RunRequest:
    """Return the request with the bare names of files, which Spark copies to the driver's working directory."""
    return job.with_paths({address: address.rpartition("/")[2] for address in addresses})


def job_script(job: RunRequest) -> Path:
    """Return the script in jobs/ that runs the command."""
    return resource_dir("jobs") / f"{job.words[0]}.py"


def job_arguments(job: RunRequest) -> list[str]:
    """Return the arguments of the job script."""
    return [*job.words[1:], *to_cli_args({**job.settings, "runs.id": job.id})]


def spark_conf_for(job: RunRequest, packages: str, user_conf: Mapping[str, Any]) -> dict[str, str]:
    """Return the Spark settings of a run: Delta, what its settings need, and `user_conf`, which goes first."""
    from pipelines.spark.session import DELTA_CONF  # imported here because it loads Spark

    user_jars = str(user_conf.get("spark.jars.packages", ""))
    jars = [user_jars, "" if DELTA_JAR.search(user_jars) else packages, SYNAPSEML if job.needs_lightgbm else ""]
    conf: dict[str, Any] = {
        "spark.sql.session.timeZone": "UTC",
        "spark.redaction.regex": SECRET_PATTERN,
        **YARN_CONF,
        **DELTA_CONF,
        **user_conf,
        "spark.app.name": f"irbis {job.id}",
        "spark.jars.packages": ",".join(jar for jar in jars if jar),
    }
    return {name: _as_text(value) for name, value in conf.items() if value != ""}


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

"""What targets have in common that meet their runs in a workspace which both sides see."""

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

UPLOADS_DIR = "sent"  # folder of the workspace for what came from laptops
CANCELLED = "cancelled.json"  # a record of its own, of a run that cannot write one any more
LOG_NOISE = re.compile(r"^\s+at |^\s+\.\.\. \d+ more|\b(INFO|DEBUG|TRACE|WARN)\b|^(stdout|\s*stderr): *$")
LOG_TAIL_LINES = 20  # last lines that say why a run failed
# A run that fails is not run a second time. One may lose so many executors, however few it has at a time: Spark's own
# number for few is 3, and machines that come and go cost more. A task that fails four times ends the run all the same.
YARN_CONF = {"spark.yarn.maxAppAttempts": "1", "spark.yarn.max.executor.failures": "32"}
DELTA_JAR = re.compile(r"delta-(spark|core)_")


class SharedWorkspaceBackend:
    """Send files to the workspace, and read what runs have written there."""

    def __init__(self, files: WorkspaceFiles):
        self._files = files

    def validate(self, settings: Mapping[str, Any]) -> list[str]:
        found, images = self._files.validate(settings["workspace"]), settings.get("sources.images")
        if images and "://" not in images and not images.startswith("/"):
            found.append(
                f"sources.images = {images} is a folder of this machine. Send it with `irbis upload {images} "
                "az://ACCOUNT/CONTAINER/PREFIX` and give --images that address, or the whole path of a folder that "
                "all nodes see."
            )
        return found

    def upload_file(self, file: Path, workspace: str) -> str:
        content = file.read_bytes()
        folder = content_addressed_dir(content, workspace)
        if (file.name, len(content)) not in self.files(folder):
            self.write(f"{folder}/{file.name}", content)
        elif "://" not in folder:
            os.utime(Path(folder, file.name))  # `irbis clean` removes what is not sent any more
        return f"{folder}/{file.name}"

    def files(self, folder: str) -> list[tuple[str, int]]:
        with translate_errors():
            return self._files.files(folder)

    def read(self, address: str) -> bytes:
        with translate_errors():
            return self._files.read(address)

    def write(self, address: str, content: bytes) -> None:
        with translate_errors():
            self._files.write(address, content)

    def mark_cancelled(self, folder: str, job: str) -> None:
        """Write the record of a run that was ended from outside."""
        record = {
            "id": job,
            "words": ["cancel"],
            "state": STOPPED,
            "started": utc_now(),
            "ended": utc_now(),
            "stages": [],
        }
        self.write(f"{folder}/{CANCELLED}", json.dumps({**record, "error": "", "code": {}}, indent=2).encode())

    def recorded_state(self, folder: str) -> str | None:
        """Give the state in which a run has ended by its own record; null where it has written none."""
        names = [name for name, _ in self.files(folder) if name.endswith(".json") and "/" not in name]
        states = {name: read_record(name, self.read(f"{folder}/{name}")).state for name in names}
        known = [states[name] for name in sorted(states, key=lambda name: name == CANCELLED)]
        return next((state for state in known if state in (SUCCEEDED, FAILED, STOPPED)), None)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Say that a line to the workspace broke as targets say it."""
    try:
        yield
    except ConnectionError as error:
        raise ConnectionLost(str(error)) from error


@contextmanager
def code_zip() -> Iterator[Path]:
    """Give this code as a zip, which every master takes for --py-files, while the block runs."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder) / "wheel")
        name = wheel.name.removesuffix(".whl").removesuffix("-py3-none-any")
        yield Path(shutil.copy(wheel, Path(folder) / f"{name}.zip"))


def relevant_log_lines(lines: Iterable[str]) -> str:
    """Give the lines of Spark's log that say why a run failed: no news, and none of the places in Java's code."""
    said = [line.rstrip() for line in lines if line.strip()]
    found = [line for line in said if not LOG_NOISE.search(line)]
    return "\n".join((found or said)[-LOG_TAIL_LINES:])


def content_addressed_dir(content: bytes, workspace: str) -> str:
    """Give the folder of the workspace for a file that is sent: the same bytes lie in the same one."""
    return f"{workspace}/{UPLOADS_DIR}/{hashlib.sha256(content).hexdigest()[:16]}"


def with_driver_paths(job: RunRequest, sent: Iterable[str]) -> RunRequest:
    """Give the job with the names that files have which Spark lays into the folder that the driver works in."""
    return job.with_paths({address: address.rpartition("/")[2] for address in sent})


def job_script(job: RunRequest) -> Path:
    """Give the job file that does what the words say."""
    return resource_dir("jobs") / f"{job.words[0]}.py"


def job_arguments(job: RunRequest) -> list[str]:
    """Give the words that the job file is told."""
    return [*job.words[1:], *to_cli_args({**job.settings, "runs.id": job.id})]


def spark_conf_for(job: RunRequest, packages: str, chosen: Mapping[str, Any]) -> dict[str, str]:
    """Give Spark's settings of a run: Delta, what the settings of the run need, and above all what was chosen."""
    from pipelines.spark.session import DELTA_CONF  # loads Spark

    given = str(chosen.get("spark.jars.packages", ""))
    jars = [given, "" if DELTA_JAR.search(given) else packages, SYNAPSEML if job.needs_lightgbm else ""]
    conf: dict[str, Any] = {
        "spark.sql.session.timeZone": "UTC",
        "spark.redaction.regex": SECRET_PATTERN,
        **YARN_CONF,
        **DELTA_CONF,
        **chosen,
        "spark.app.name": f"irbis {job.id}",
        "spark.jars.packages": ",".join(jar for jar in jars if jar),
    }
    return {name: _as_text(value) for name, value in conf.items() if value != ""}


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
